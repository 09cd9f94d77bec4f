"""A live log: the leader asks the worker while somebody reads, and keeps no more than that."""

import pytest

from raftwork.broker.machine.commands import Assign, Finish, Lose, LoseSaying
from raftwork.broker.workers import live_logs
from raftwork.broker.workers.live_logs import LiveLog
from raftwork.features.effects import Assigned, Settled
from raftwork.features.event_journal import EventKind
from raftwork.features.task_log import (
    GATHER_MS,
    LEASE_MS,
    LINES_MAX,
    FollowLogs,
    LoggedLine,
    LogRead,
    ReadLog,
    Tail,
    TellLog,
    ToldLine,
)
from raftwork.messages import (
    PROTOCOL,
    Code,
    FromBroker,
    Goodbye,
    Loss,
    Outcome,
    Refused,
    Report,
    State,
    WorkerHello,
)
from tests.unit.broker.queues import Queues
from tests.unit.broker.request_harness import RequestHarness

W = b"w" * 16


class Desk:
    """A leader; task `a` runs at worker w under token 1, `b` waits."""

    def __init__(self) -> None:
        self.harness = RequestHarness()
        self.harness.enqueue("a", "b")
        self.harness.commit()
        self.harness.sent()
        self.view = self.harness.view
        self.view.time = 10_000
        hello = WorkerHello(PROTOCOL, "w1", W, 1, "h", 1, 2, ["default"], [], False)
        self.harness.workers.hello(b"w", hello, self.harness.now)
        self.give(1)
        self.number = 0

    def give(self, seq: int) -> int:
        (effect,) = self.harness.queues.effects(Assign(W, [seq]))
        assert isinstance(effect, Assigned)
        ((token, _, attempt),) = effect.tasks
        (task,) = [t for t in [self.harness.machine.running_body(token)] if t is not None]
        worker = self.harness.workers._workers[W]
        self.harness.workers.hand_out([(worker, task, token, attempt)])
        list(self.harness.workers.frames())
        return token

    def ask(self, task: str = "a", token: int = 0, after: int = 0, wait_ms: int = 1_000) -> None:
        self.number += 1
        self.harness.say(ReadLog(self.number, task, token, after, wait_ms, State.RUNNING))

    def poll(self, ms: int = 0) -> FromBroker | None:
        self.view.time += ms
        self.harness.processor.poll(self.view.time)
        answers = self.harness.sent()
        return answers[0] if answers else None

    def read(self, ms: int = GATHER_MS) -> LogRead:
        answer = self.poll() or self.poll(ms)
        assert isinstance(answer, LogRead), answer
        return answer

    def asked(self) -> list[Tail]:
        """What the worker was asked for."""
        frames = [frame for _, frame in self.harness.workers.frames()]
        return [tail for f in frames if isinstance(f, FollowLogs) for tail in f.tails]

    def tell(self, *lines: str, after: int = 100, token: int = 1, why: str = "") -> bool:
        told = [ToldLine(50, line.encode(), False) for line in lines]
        frame = TellLog(1, token, after, told, why)
        return self.harness.workers.receive(b"w", frame, self.harness.now, self.view.time)

    def finish(self) -> None:
        report = Report(1, [], [Outcome(1, True, b"\xc0")], [], 0)
        self.harness.workers.receive(b"w", report, self.harness.now, self.view.time)
        (effect,) = self.harness.queues.effects(Finish([(1, b"\xc0")]))
        assert isinstance(effect, Settled)
        self.harness.workers.settled(effect)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def texts(read: LogRead) -> list[str]:
    return [line.data.decode() for line in read.lines]


def test_the_worker_is_asked_and_what_it_tells_is_answered_together(desk: Desk) -> None:
    desk.ask()
    assert desk.poll() is None
    assert desk.asked() == [Tail(1, 0)]
    assert desk.tell("one")
    assert desk.poll(10) is None
    desk.tell("two", after=101)
    read = desk.read(GATHER_MS - 10)
    assert read.lines == [LoggedLine(9_950, b"one", False), LoggedLine(9_960, b"two", False)]
    assert (read.token, read.after, read.gap, read.heard) == (1, 102, False, True)
    assert (read.attempt, read.worker, read.state) == (1, "w1", State.RUNNING)
    assert not desk.harness.processor.polls_each_turn


def test_who_has_all_waits_for_the_next_line(desk: Desk) -> None:
    desk.ask()
    desk.poll()
    desk.tell("one")
    desk.read()
    desk.ask(token=1, after=101)
    assert desk.poll() is None
    desk.tell("two", after=101)
    assert texts(desk.read()) == ["two"]
    desk.ask(token=1, after=102)
    desk.poll()
    assert texts(desk.read(1_000)) == []


def test_what_was_told_twice_is_kept_once_and_what_is_missing_is_said(desk: Desk) -> None:
    desk.ask()
    desk.poll()
    desk.tell("one", "two")
    desk.tell("two", "three", after=101)
    assert texts(desk.read()) == ["one", "two", "three"]
    desk.tell("nine", after=109)
    desk.ask(token=1, after=103)
    read = desk.read()
    assert (texts(read), read.gap, read.after) == (["nine"], True, 110)


def test_a_thousand_lines_are_the_newest(desk: Desk) -> None:
    desk.ask()
    desk.poll()
    for at in range(0, 1_000, 100):
        desk.tell(*(str(n) for n in range(at, at + 100)), after=100 + at)
    read = desk.read()
    assert texts(read) == [str(n) for n in range(1_000 - LINES_MAX, 1_000)]
    desk.ask(token=1, after=150)
    assert desk.read().gap


def test_a_worker_is_asked_again_while_somebody_reads_and_no_longer(desk: Desk) -> None:
    for _ in range(6):
        desk.ask()
        desk.poll()
        desk.poll(1_000)
    assert len(desk.asked()) == 7  # it has not answered
    desk.ask()
    desk.poll()
    desk.tell()
    desk.read(GATHER_MS)
    desk.asked()
    desk.view.time += 10 * LEASE_MS
    assert desk.asked() == []


def test_a_worker_that_does_not_answer_is_not_taken_for_a_silent_task(desk: Desk) -> None:
    desk.ask()
    desk.poll()
    assert not desk.read(1_000).heard
    desk.ask()
    desk.poll()
    desk.tell(why="elsewhere")
    read = desk.read()
    assert (read.heard, read.why, read.lines) == (True, "elsewhere", [])


def test_the_last_lines_are_read_after_the_end_and_then_that_it_is_the_end(desk: Desk) -> None:
    desk.ask()
    desk.poll()
    desk.tell("one")
    desk.read()
    desk.ask(token=1, after=101)
    desk.poll()
    desk.tell("last", after=101)
    desk.finish()
    read = desk.read()
    assert (texts(read), read.state) == (["last"], State.SUCCEEDED)
    desk.ask(token=1, after=102)
    read = desk.read(0)
    assert (read.lines, read.state) == ([], State.SUCCEEDED)


def test_who_waits_for_a_task_is_told_once_it_runs(desk: Desk) -> None:
    desk.harness.say(ReadLog(1, "b", 0, 0, 5_000, State.QUEUED))
    assert desk.poll() is None
    assert desk.poll(1_000) is None
    token = desk.give(2)
    desk.poll(10)
    assert [tail.token for tail in desk.asked()] == [token]
    desk.tell("one", token=token)
    assert texts(desk.read()) == ["one"]


def test_of_a_task_that_has_not_begun_there_is_its_state(desk: Desk) -> None:
    desk.ask("b")
    read = desk.read(0)
    assert (read.state, read.token, read.lines) == (State.QUEUED, 0, [])


def test_an_unknown_task_is_refused_by_name(desk: Desk) -> None:
    desk.ask("nobody")
    answer = desk.poll()
    assert isinstance(answer, Refused)
    assert answer.code is Code.UNKNOWN_TASK


def test_another_leader_goes_on_where_the_reader_is(desk: Desk) -> None:
    desk.ask(token=1, after=150)
    desk.poll()
    assert desk.asked() == [Tail(1, 150)]
    desk.tell("next", after=150)
    read = desk.read()
    assert (texts(read), read.gap) == (["next"], False)


def test_lines_of_others_or_that_nobody_reads_are_dropped(desk: Desk) -> None:
    assert desk.tell("one")
    desk.ask()
    desk.poll()
    desk.harness.workers.receive(b"w", Goodbye(1), desk.harness.now, 0)
    assert not desk.tell("two")
    assert not desk.read(1_000).heard


def test_no_more_logs_are_followed_than_may_be(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_logs, "LOGS_MAX", 1)
    desk.ask()
    desk.poll()
    desk.give(2)
    desk.ask("b")
    answer = desk.poll()
    assert isinstance(answer, Refused)
    assert answer.code is Code.QUEUE_FULL
    desk.poll(1_000)
    desk.view.time += LEASE_MS
    desk.ask("b")
    assert desk.poll() is None  # the other one is forgotten


def test_below_level_two_it_is_refused_in_words() -> None:
    harness = RequestHarness(queues=Queues(level=1))
    harness.enqueue("a")
    harness.commit()
    harness.sent()
    harness.say(ReadLog(1, "a", 0, 0, 0))
    harness.processor.poll(1)
    (answer,) = harness.sent()
    assert isinstance(answer, Refused)
    assert "a live log needs a cluster at level 2" in answer.text


def test_what_was_told_of_a_task_goes_with_its_loss_once_its_worker_is_gone(desk: Desk) -> None:
    token = desk.give(2)
    desk.ask()
    desk.poll()
    desk.tell("one", "two")
    desk.harness.workers.goodbye(b"w", 1, desk.harness.now, lost=True)
    saying, rest = desk.harness.workers.commands()
    assert saying == LoseSaying(
        1, Loss("w1"), "1970-01-01T00:00:09.950Z one\n1970-01-01T00:00:09.950Z two"
    )
    assert isinstance(rest, Lose) and [each for each, _ in rest.tokens] == [token]


def test_a_worker_that_is_gone_is_told_of_once(desk: Desk) -> None:
    """Of its only task the lines are known: the command of the others has none, and tells it."""
    journal = desk.harness.machine.state.journal
    journal.on = True
    desk.ask()
    desk.poll()
    desk.tell("one")
    desk.harness.workers.goodbye(b"w", 1, desk.harness.now, lost=True)
    for command in desk.harness.workers.commands():
        desk.harness.queues.effects(command)
    kinds = [event.kind for event in journal.drain()]
    assert kinds.count(EventKind.WORKER_LOST) == 1


def test_of_what_was_told_the_newest_goes_with_a_loss_and_nothing_that_is_sealed() -> None:
    log = LiveLog(1, 1, "w1", 0)
    lines = [ToldLine(0, b"%d " % n + b"x" * 1000, False) for n in range(9)]
    log.take(TellLog(1, 1, 0, [*lines, ToldLine(0, b"secret", True)]), 1_000)
    kept = log.last_lines().splitlines()
    assert [line.split()[1] for line in kept] == ["6", "7", "8"]
    assert len(log.last_lines()) <= live_logs.LAST_BYTES_MAX
    assert LiveLog(1, 1, "w1", 0).last_lines() == ""
