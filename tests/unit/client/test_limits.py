"""Limits, as a program sets and reads them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from raftwork import App
from raftwork.client.caller import Caller
from raftwork.client.limits import Limit, Limits
from raftwork.client.reply import Reply
from raftwork.features.limit_settings import ENDLESS, changes
from raftwork.features.limits import (
    AskLimits,
    DeleteLimit,
    LimitDeleted,
    LimitPaused,
    LimitResumed,
    LimitSet,
    LimitsTold,
    PauseLimit,
    ResumeLimit,
    SetLimit,
    ToldLimit,
)
from raftwork.messages import decode_spec

AT = datetime(2027, 1, 1, tzinfo=UTC)
TOLD = [
    ToldLimit("a", 10, "100/m", 2, "tenant", 0, 3, 2),
    ToldLimit("b", 0, "", 1, "", ENDLESS, 0, 0),
    ToldLimit("c", 0, "", 1, "", int(AT.timestamp() * 1000), 0, 0),
]
ANSWERS = {
    SetLimit: LimitSet(0),
    PauseLimit: LimitPaused(0),
    ResumeLimit: LimitResumed(0),
    DeleteLimit: LimitDeleted(0, 1),
    AskLimits: LimitsTold(0, TOLD),
}


class FakeApp:
    def __init__(self) -> None:
        self.asked: list[object] = []

    def call(self, request: object, reply: type[object]) -> Reply[object]:
        self.asked.append(request)
        told: Reply[object] = Reply()
        answer = ANSWERS[cast("type", type(request))]
        assert isinstance(answer, reply)
        told.tell(answer)
        return told


@pytest.fixture
def app() -> FakeApp:
    return FakeApp()


@pytest.fixture
def limits(app: FakeApp) -> Limits:
    return Limits(cast("Caller", app))


def test_only_what_is_given_changes_and_none_clears_it(limits: Limits, app: FakeApp) -> None:
    limits.set("stripe", concurrency=10, rate="100/m", burst=2, per="tenant")
    asyncio.run(limits.aset("stripe", rate=None))
    whole = changes(concurrency=10, rate="100/m", burst=2, per="tenant")
    assert app.asked == [
        SetLimit(0, "stripe", whole),
        SetLimit(0, "stripe", changes(rate=None)),
    ]


def test_what_is_set_is_read(limits: Limits, app: FakeApp) -> None:
    expected = [
        Limit("a", 10, "100/m", 2, "tenant", False, None, 3, 2),
        Limit("b", None, None, 1, None, True, None, 0, 0),
        Limit("c", None, None, 1, None, True, AT, 0, 0),
    ]
    assert limits.list() == asyncio.run(limits.alist()) == expected
    assert limits.get("a") == asyncio.run(limits.aget("a")) == expected[0]
    assert app.asked == [AskLimits(0)] * 2 + [AskLimits(0, "a")] * 2


def test_a_limit_is_paused_resumed_and_deleted(limits: Limits, app: FakeApp) -> None:
    limits.pause("a")
    limits.pause("a", until=AT)
    limits.resume("a")
    assert limits.delete("a")
    asyncio.run(limits.apause("a"))
    asyncio.run(limits.aresume("a"))
    assert asyncio.run(limits.adelete("a"))
    at = int(AT.timestamp() * 1000)
    first = [PauseLimit(0, "a"), PauseLimit(0, "a", at), ResumeLimit(0, "a"), DeleteLimit(0, "a")]
    again = [PauseLimit(0, "a"), ResumeLimit(0, "a"), DeleteLimit(0, "a")]
    assert app.asked == [*first, *again]


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({}, TypeError, "at least one of concurrency, rate, burst, per"),
        ({"limit": 1}, TypeError, "no such setting: limit"),
        ({"concurrency": 0}, ValueError, "between 1 and 1000000, got 0"),
        ({"concurrency": True}, TypeError, "must be an int or None, got bool"),
        ({"burst": 10_001}, ValueError, "between 1 and 10000, got 10001"),
        ({"rate": 5}, TypeError, "must be a str such as '100/m' or None, got int"),
        ({"rate": "100"}, ValueError, "must be like 100/m, 5/s or 1/10s"),
        ({"rate": "0/s"}, ValueError, "from 1 task a period to 1000000 a second"),
        ({"rate": "1000001/s"}, ValueError, "from 1 task a period to 1000000 a second"),
        ({"rate": "1/32d"}, ValueError, "from 1 s to 31 d, got 32d"),
        ({"rate": "1/0s"}, ValueError, "from 1 s to 31 d, got 0s"),
        ({"per": "user"}, ValueError, "'tenant', 'key' or None, got 'user'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_it_is_sent(
    limits: Limits, app: FakeApp, given: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        limits.set("stripe", **given)
    assert app.asked == []


def test_other_arguments_that_mean_nothing(limits: Limits, app: FakeApp) -> None:
    with pytest.raises(ValueError, match="comma"):
        limits.get("a,b")
    with pytest.raises(TypeError, match="limit must be a str, got int"):
        limits.delete(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="time zone"):
        limits.pause("a", until=datetime.now() + timedelta(1))  # noqa: DTZ005
    assert app.asked == []


def test_a_task_names_its_limits_in_any_order_and_once() -> None:
    app = App("127.0.0.1:1")
    bound = app.named("t", limits=["stripe", "a", "stripe"])
    assert decode_spec(bound.chosen.spec("t")).limits == ("a", "stripe")


@pytest.mark.parametrize(
    ("limits", "error", "text"),
    [
        ("stripe", TypeError, r'a sequence of names, such as \["stripe"\], got str'),
        (7, TypeError, "a sequence of names"),
        ([7], TypeError, "limits must be a str, got int"),
        ([""], ValueError, "1 to 255 characters, got 0"),
        (["a,b"], ValueError, "comma"),
        ([str(i) for i in range(9)], ValueError, "may be 8 names, got 9"),
    ],
)
def test_limits_that_no_task_can_name(limits: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        App("127.0.0.1:1").named("t", limits=limits)
