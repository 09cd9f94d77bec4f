"""What is known of a task, as a program asks for it and reads it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from raftwork import Status
from raftwork.client.app import App
from raftwork.client.caller import Caller
from raftwork.client.reply import Reply
from raftwork.client.run import Run
from raftwork.client.run_info import Attempt, Found, Progress, Reason, pages
from raftwork.crypto import Encryption
from raftwork.features.inspect_tasks import (
    AttemptFacts,
    ListTasks,
    ShowTask,
    TaskFacts,
    TaskPage,
    TaskShown,
)
from raftwork.features.progress import Said
from raftwork.features.why_it_waits import Reason as Told
from raftwork.messages import Failure, State, encode_failure
from raftwork.sealed_failures import seal_failure
from raftwork.sealing import ARGUMENTS, CHECKPOINT, RESULT, Bound, Codec
from raftwork.wire import INT_MAX, pack

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MS = int(AT.timestamp() * 1000)
RUNS = TaskFacts(
    *(7, "a", "m.f", "q", State.RUNNING, "", "acme", 130, MS, 0, 2, 1, 0),
    *("w1", MS, 0, 250, ""),
)
ENDED = RUNS._replace(state=State.FAILED, priority=None, ended=MS, error="ValueError: no")
FAILED = AttemptFacts(1, "w0", MS, 100, "ValueError: no")


def shown(task: TaskFacts, body: bytes = b"", **more: Any) -> TaskShown:
    answer = TaskShown(0, task, [("customer", "7")], [FAILED], [], b"", body, forgotten=False)
    return answer._replace(**more)


class FakeApp:
    """Answers with what it was given, and remembers what it was asked."""

    codec: Codec | None = None

    def __init__(self, *answers: object) -> None:
        self.asked: list[Any] = []
        self._answers = list(answers)

    def call(self, request: object, _reply: object, *, ids: tuple[str, ...] = ()) -> Reply[object]:
        self.asked.append(request)
        answer: Reply[object] = Reply()
        answer.tell(self._answers.pop(0))
        return answer


def run_of(*answers: object) -> tuple[Run[Any], FakeApp]:
    app = FakeApp(*answers)
    return Run("a", cast("Caller", app)), app


def test_info_is_what_the_leader_told() -> None:
    run, app = run_of(shown(RUNS), shown(RUNS))
    told = run.info()
    assert app.asked == [ShowTask(0, "a", body=False)]
    assert (told.name, told.queue, told.status, told.priority) == ("m.f", "q", "running", 30)
    assert (told.tags, told.key, told.tenant) == ({"customer": "7"}, None, "acme")
    assert (told.enqueued, told.due, told.ended, told.hand_outs) == (AT, None, None, 2)
    assert told.attempts == [
        Attempt(
            "w0",
            AT - timedelta(milliseconds=100),
            timedelta(milliseconds=100),
            "ValueError: no",
        ),
        Attempt("w1", AT, timedelta(milliseconds=250), None),
    ]
    assert asyncio.run(run.ainfo()) == told


def test_a_time_beyond_all_dates_is_the_last_one() -> None:
    far = RUNS._replace(enqueued=2**48 - 1, due=2**53)
    run, _ = run_of(shown(far))
    told = run.info()
    assert told.due is not None
    assert told.due == told.enqueued
    assert told.due.year == 9999


def test_why_it_waits_is_told() -> None:
    waits = RUNS._replace(state=State.QUEUED, worker="", started=0, run_ms=0)
    run, _ = run_of(shown(waits, waits=[Told("busy", "all 4 slots")], attempts=[]))
    told = run.info()
    assert told.waits == [Reason("busy", "all 4 slots")]
    assert told.attempts == []


def test_how_far_it_is_is_told() -> None:
    run, _ = run_of(shown(RUNS, progress=Said(0.5, "half", MS)), shown(RUNS))
    assert run.info().progress == Progress(0.5, "half", AT)
    assert run.info().progress is None


def test_a_report_has_the_arguments_or_what_it_came_to() -> None:
    failure = encode_failure(Failure("ValueError", "no", "trace", "said\n"))
    run, app = run_of(
        shown(RUNS, pack([[1], {"x": 2}]), checkpoint=pack(9)),
        shown(RUNS._replace(state=State.SUCCEEDED), pack([3])),
        shown(ENDED, failure),
        shown(ENDED._replace(error=""), b"", forgotten=True),
        shown(RUNS._replace(state=State.SUCCEEDED), b"", forgotten=True),
        shown(RUNS, pack("another client's")),
    )
    reports = [run.report() for _ in range(6)]
    assert [(reports[0].checkpoint, reports[0].log), (reports[2].checkpoint, reports[2].log)] == [
        (9, ""),
        (None, "said\n"),
    ]
    assert [(r.args, r.kwargs, r.value, r.error) for r in reports] == [
        ([1], {"x": 2}, None, None),
        (None, None, [3], None),
        (None, None, None, "trace"),
        (None, None, None, None),
        (None, None, None, None),
        (None, None, None, None),
    ]
    assert app.asked[0] == ShowTask(0, "a", body=True)


def test_a_report_is_opened_for_programs_and_coroutines_alike() -> None:
    codec = Encryption([b"k" * 32])
    call = codec.seal(pack([["hush"], {}]), Bound(ARGUMENTS, "a", "m.f", "q"))
    left = codec.seal(pack("left"), Bound(CHECKPOINT, "a"))
    value = codec.seal(pack("came"), Bound(RESULT, "a"))
    failure = seal_failure(codec, encode_failure(Failure("E", "no", "hush", "said")), "a")
    answers = (
        shown(RUNS, call, checkpoint=left),
        shown(RUNS._replace(state=State.SUCCEEDED), value),
        shown(ENDED, failure),
    )
    run, app = run_of(*answers, *answers)
    app.codec = codec
    reports = [run.report() for _ in answers]
    assert [(r.args, r.checkpoint, r.value, r.error, r.log) for r in reports] == [
        (["hush"], "left", None, None, ""),
        (None, None, "came", None, ""),
        (None, None, None, "hush", "said"),
    ]
    assert [asyncio.run(run.areport()) for _ in answers] == reports


def test_pages_are_asked_for_until_there_are_enough_or_no_more() -> None:
    app = FakeApp(
        TaskPage(0, [RUNS] * 200, 50, 200), TaskPage(0, [], 20, 4_000), TaskPage(0, [RUNS], 0, 9)
    )
    found = Found()
    for reply in pages(
        cast("Caller", app), found, state="running", name="m.*", queue="q", limit=250
    ):
        reply.result()
    assert (len(found), found.scanned, found.before) == (201, 4_209, None)
    assert app.asked == [
        ListTasks(0, INT_MAX, 200, State.RUNNING, "m.*", "q", [], 0),
        ListTasks(0, 50, 50, State.RUNNING, "m.*", "q", [], 0),
        ListTasks(0, 20, 50, State.RUNNING, "m.*", "q", [], 0),
    ]


def test_without_time_left_it_is_said_where_to_go_on() -> None:
    app = FakeApp(TaskPage(0, [RUNS], 50, 4_000, 1_000), TaskPage(0, [RUNS], 0, 9))
    found = Found()
    for reply in pages(cast("Caller", app), found, error="Timeout", worker="w1", budget=0):
        reply.result()
    assert (len(found), found.scanned, found.before) == (1, 4_000, 50)
    assert found.as_of == datetime.fromtimestamp(1, UTC)
    assert (app.asked[0].error, app.asked[0].worker) == ("Timeout", "w1")


def test_an_app_lists_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App("127.0.0.1:1")
    fake = FakeApp(*[TaskPage(0, [ENDED], 0, 1)] * 2)
    monkeypatch.setattr(app, "call", fake.call)
    (told,) = app.runs(tag=("customer", "7"), since=60, limit=1, before=9)
    assert (told.status, told.attempts[-1].error) == (Status.FAILED, "ValueError: no")
    asked = fake.asked[0]
    assert (asked.before, asked.limit, asked.tag) == (9, 1, ["customer", "7"])
    age = datetime.now(UTC).timestamp() * 1000 - asked.since
    assert 60_000 <= age < 70_000
    assert asyncio.run(app.aruns()) == [told]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"state": "gone"}, "state must be one of queued, running, .*, got 'gone'"),
        ({"name": ""}, "name must have 1 to 255 characters, got 0"),
        ({"queue": "a,b"}, "queue must not contain a comma"),
        ({"tag": ("k", "")}, "the value of the tag 'k' must have 1 to 128 characters, got 0"),
        ({"since": -1}, "since must be between 0 and"),
        ({"limit": 0}, "limit must be an int, 1 or more, got 0"),
    ],
)
def test_bad_filters_are_named_before_anything_is_sent(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        App("127.0.0.1:1").runs(**wrong)
