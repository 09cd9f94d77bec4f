"""What a worker says of its tasks and of its leader, and how often."""

import logging
from collections.abc import Iterator
from random import Random

import pytest

from raftwork.messages import Leader, Loss, Outcome, PushedTask, Spec, encode_spec
from raftwork.worker.leader_session import LeaderSession
from raftwork.worker.pool import Running
from raftwork.worker.runner import failure, lost
from raftwork.worker.task_logging import PATIENCE_MS, PATIENCE_OF_SLOTS, REMIND_MS, TaskLog

A, B = "a:1", "b:1"


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, "raftwork.worker"):
        yield caplog


def said(log: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Level and text of all lines since the last call."""
    lines = [(record.levelname, record.getMessage()) for record in log.records]
    log.clear()
    return lines


def task(spec: Spec, attempt: int = 1, id: str = "id7") -> PushedTask:  # noqa: A002
    return PushedTask(7, id, attempt, encode_spec(spec), b"")


ONCE, THRICE = Spec("t", "q"), Spec("t", "q", retries=2)
NOPE = failure(7, "ValueError", "first line\nlast line")


@pytest.mark.parametrize(
    ("done", "outcome", "line"),
    [
        (task(ONCE), NOPE, "task id7 (t), attempt 1, failed: ValueError: last line"),
        (
            task(THRICE),
            NOPE,
            "task id7 (t), attempt 1 of 3, failed and is tried again: ValueError: last line",
        ),
        (task(THRICE, 3), NOPE, "task id7 (t), attempt 3 of 3, failed: ValueError: last line"),
        # One of these was lost or handed back.
        (task(THRICE, 4), NOPE, "task id7 (t), attempt 4, failed: ValueError: last line"),
        (
            task(THRICE._replace(at_most_once=True)),
            NOPE,
            "task id7 (t), attempt 1, failed: ValueError: last line",
        ),
        (
            task(ONCE),
            lost(7, Loss(signal=9)),
            "task id7 (t), attempt 1, was lost: ProcessDied:"
            " the process that ran it was killed by signal 9",
        ),
        (
            task(ONCE),
            failure(7, "UnknownTask", "this worker has no task 't'", unknown=True),
            "task id7 (t), attempt 1, was refused: UnknownTask: this worker has no task 't'",
        ),
        (
            task(ONCE, id="a\nb\x1b[31m"),
            failure(7, "ValueError", ""),
            "task a\\nb\\x1b[31m (t), attempt 1, failed: ValueError",
        ),
        (
            PushedTask(7, "id7", 1, b"no spec", b""),
            NOPE,
            "task id7 (?), attempt 1, failed: ValueError: last line",
        ),
    ],
)
def test_a_task_that_did_not_succeed_is_a_line(
    log: pytest.LogCaptureFixture, done: PushedTask, outcome: Outcome, line: str
) -> None:
    TaskLog(0).ended([(done, outcome)])

    assert said(log) == [("WARNING", line)]


def test_starts_and_successes_are_for_debugging(log: pytest.LogCaptureFixture) -> None:
    task_log = TaskLog(0)
    task_log.given([task(ONCE)])
    task_log.ended([(task(ONCE), Outcome(7, True, b""))])

    assert [level for level, _ in said(log)] == ["DEBUG", "DEBUG"]


def test_a_reason_is_cut(log: pytest.LogCaptureFixture) -> None:
    TaskLog(0).ended([(task(ONCE), failure(7, "E", "x" * 10_000))])

    assert len(said(log)[0][1]) < 400


def watch(session: LeaderSession, task_log: TaskLog, start: int, end: int) -> None:
    for now in range(start, end, 100):
        session.asks(now)
        task_log.look(session, now)


def test_without_brokers_it_says_so_at_once_and_then_every_minute(
    log: pytest.LogCaptureFixture,
) -> None:
    session, task_log = LeaderSession([A, B], 0, Random(1)), TaskLog(0)

    watch(session, task_log, 0, PATIENCE_MS + 100)
    assert said(log) == [("WARNING", "no broker answers: a:1, b:1; still trying")]
    watch(session, task_log, PATIENCE_MS + 100, PATIENCE_MS + REMIND_MS)
    assert said(log) == []
    watch(session, task_log, PATIENCE_MS + REMIND_MS, PATIENCE_MS + REMIND_MS + 100)
    assert said(log) == [("WARNING", "no broker answers: a:1, b:1; still trying")]


def test_it_says_which_broker_is_silent_and_that_none_leads(log: pytest.LogCaptureFixture) -> None:
    session, task_log = LeaderSession([A, B], 0, Random(1)), TaskLog(0)
    session.heard(B, PATIENCE_MS)

    watch(session, task_log, PATIENCE_MS, PATIENCE_MS + 100)

    ((_, text),) = said(log)
    assert text == "no broker leads; answering: b:1; not answering: a:1; still trying"


def test_leaders_joined_and_lost_are_told_once(log: pytest.LogCaptureFixture) -> None:
    session, task_log = LeaderSession([A, B], 0, Random(1)), TaskLog(0)

    def join(source: str, epoch: int, now: int) -> None:
        session.heard(source, now)
        session.announced(source, Leader(epoch, source[0], source, True, 1), now)
        assert session.hello(now)
        assert session.welcomed(source, epoch, session.number)
        task_log.look(session, now)

    task_log.link(A, made=True)
    task_log.link(A, made=True)
    assert said(log) == [("INFO", "connected to the broker at a:1")]
    join(A, 1, 100)
    assert said(log) == [("INFO", "joined the leader at a:1, epoch 1; 1 of 2 brokers reached")]
    session.reopen(200)  # such as when the pool has one slot less
    task_log.look(session, 200)
    assert session.hello(200) and session.welcomed(A, 1, session.number)
    task_log.look(session, 210)
    assert said(log) == []
    session.link_lost(A, 300)
    task_log.look(session, 300)
    task_log.look(session, 310)
    assert said(log) == [("INFO", "lost the leader: the connection to a:1 closed")]
    watch(session, task_log, 310, 310 + PATIENCE_MS + 100)
    ((_, text),) = said(log)
    assert "the connection to a:1 closed, and no other broker says that it leads" in text
    join(B, 2, 2_000)
    assert said(log) == [("INFO", "joined the leader at b:1, epoch 2; 1 of 2 brokers reached")]
    session.announced(B, Leader(2, "", "", False, 0), 2_100)
    task_log.look(session, 2_100)
    assert said(log) == [("INFO", "lost the leader: b:1 leads no more")]
    watch(session, task_log, 2_100, 2_100 + PATIENCE_MS + 100)
    assert [level for level, _ in said(log)] == ["WARNING"]


def test_a_leader_that_falls_silent_is_said_to_be(log: pytest.LogCaptureFixture) -> None:
    session, task_log = LeaderSession([A], 0, Random(1)), TaskLog(0)
    session.announced(A, Leader(1, "a", A, True, 1), 100)
    session.heard(A, 100)
    assert session.hello(100) and session.welcomed(A, 1, session.number)
    watch(session, task_log, 100, 3_000)
    assert [level for level, _ in said(log)] == ["INFO"]

    watch(session, task_log, 3_000, 6_000)

    assert said(log) == [("WARNING", "no broker answers: a:1; still trying")]


def test_a_worker_that_drains_says_what_it_waits_for(log: pytest.LogCaptureFixture) -> None:
    task_log = TaskLog(0)
    running = [(task(ONCE), 0), *((task(ONCE, id=f"id{n}"), None) for n in range(20, 40))]

    task_log.unfinished(running, 5_000)
    ((level, text),) = said(log)
    assert level == "INFO" and "21 tasks" in text and "second signal" in text
    assert task_log.list_at == 5_000 + REMIND_MS
    task_log.unfinished(running, 65_000)

    ((level, text),) = said(log)
    assert level == "WARNING" and "second signal" in text
    assert "Waiting for 21 tasks: t id7 for 65 s, t id20 not started" in text
    assert text.endswith(", and 11 more")


def test_it_says_once_that_every_slot_waits_for_other_tasks(
    log: pytest.LogCaptureFixture,
) -> None:
    task_log, patience = TaskLog(0), PATIENCE_OF_SLOTS
    held = [(task(ONCE, id=f"id{token}")._replace(token=token), 0) for token in (1, 2, 3)]
    both = [Running(1, 0, waits=True), Running(2, 0, waits=True)]
    for now in (100, 99 + patience):
        task_log.slots(both, 2, held, now)
    assert said(log) == []
    for now in (100 + patience, 100 + 9 * patience):
        task_log.slots(both, 2, held, now)
    ((level, text),) = said(log)
    assert level == "WARNING"
    assert text.startswith(
        "every slot (2) waits in result() for another task: t id1 for 2 s, t id2 for 2 s. "
    )


@pytest.mark.parametrize(
    "running",
    [
        [Running(1, 0, waits=True)],
        [Running(1, 0, waits=True), Running(2, 0)],
        [],
    ],
    ids=["a slot is free", "one gets on", "idle"],
)
def test_while_a_slot_can_run_something_nothing_is_said(
    log: pytest.LogCaptureFixture, running: list[Running]
) -> None:
    task_log = TaskLog(0)
    for slots in (2, 0) if not running else (2,):
        for now in range(0, 5 * PATIENCE_OF_SLOTS, 1_000):
            task_log.slots(running, slots, [], now)
    assert said(log) == []


def test_slots_that_wait_for_ever_other_tasks_get_on(log: pytest.LogCaptureFixture) -> None:
    task_log = TaskLog(0)
    for now in range(0, 5 * PATIENCE_OF_SLOTS, 1_000):
        task_log.slots([Running(now, 0, waits=True)], 1, [], now)
    assert said(log) == []
