"""What is to be cancelled: exactly one scope, checked before anything is sent."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from raftwork import App
from raftwork.client.caller import Caller
from raftwork.client.reply import Reply
from raftwork.client.run import Run
from raftwork.features.cancel import IDS_MAX, CancelTasks, Scope, TasksCancelled
from raftwork.features.pause_queue import DeleteQueue, PauseQueue, ResumeQueue
from tests.unit.client.fake_app import queue


class Recording(App):
    """Notes what it is asked, and answers that one task was cancelled."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")
        self.asked: list[object] = []

    def call(self, request: object, reply: object, **_given: object) -> Reply[Any]:
        self.asked.append(request)
        answer: Reply[Any] = Reply()
        answer.tell(TasksCancelled(0, 1))
        return answer


@pytest.fixture
def app() -> Recording:
    return Recording()


IDS = CancelTasks(0, Scope.IDS, ["a"], "", "", 10_000)


def test_a_run_is_cancelled_by_its_id(app: Recording) -> None:
    run = Run[int]("a", cast("Caller", app))
    assert run.cancel() is True
    assert asyncio.run(run.acancel(timedelta(seconds=2))) is True
    assert app.asked == [IDS, IDS._replace(grace=2_000)]


def test_each_scope_is_sent_as_it_is_meant(app: Recording) -> None:
    assert app.cancel(ids=["a"]) == 1
    assert app.cancel(name="mail", grace=0) == 1
    assert asyncio.run(app.acancel(queue="bulk", grace=0)) == 1
    app.cancel(tag=("customer", "7"), grace=0)
    app.cancel(all=True, grace=0)
    nothing = IDS._replace(ids=[], grace=0)
    assert app.asked == [
        IDS,
        nothing._replace(scope=Scope.NAME, name="mail"),
        nothing._replace(scope=Scope.QUEUE, name="bulk"),
        nothing._replace(scope=Scope.TAG, name="customer", value="7"),
        nothing._replace(scope=Scope.ALL),
    ]


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({}, TypeError, "exactly one of .* got 0"),
        ({"name": "a", "all": True}, TypeError, "got 2"),
        ({"all": False}, TypeError, "got 0"),
        ({"all": 1}, TypeError, "all must be True or False"),
        ({"ids": "a"}, TypeError, "put it into a list"),
        ({"ids": []}, ValueError, "at least one"),
        ({"ids": ["a"] * (IDS_MAX + 1)}, ValueError, "10000 ids, got 10001"),
        ({"ids": [1]}, TypeError, "id must be a str"),
        ({"tag": "ab"}, TypeError, "pair of its key and its value"),
        ({"tag": ("a",)}, TypeError, "pair of its key and its value"),
        ({"tag": ("a", 7)}, TypeError, "a tag's value must be a str"),
        ({"queue": "a,b"}, ValueError, "comma"),
        ({"all": True, "grace": -1}, ValueError, "grace"),
        ({"all": True, "grace": "1"}, TypeError, "grace"),
        ({"all": True, "grace": 86_401}, ValueError, "at most 86400 s, got 86401"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_it_is_sent(
    app: Recording, given: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        app.cancel(**given)
    assert app.asked == []


def test_a_queue_is_paused_resumed_and_deleted() -> None:
    q, asked = queue()
    q.pause()
    asyncio.run(q.apause(datetime(2027, 1, 1, tzinfo=UTC)))
    q.resume()
    q.delete()
    assert asked.asked == [
        PauseQueue(0, "q"),
        PauseQueue(0, "q", 1_798_761_600_000),
        ResumeQueue(0, "q"),
        DeleteQueue(0, "q"),
    ]
    with pytest.raises(TypeError, match="time zone"):
        q.pause(datetime(2027, 1, 1))  # noqa: DTZ001
