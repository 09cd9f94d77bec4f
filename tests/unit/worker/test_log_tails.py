"""What a worker tells of the logs of tasks that are followed."""

from random import Random

import pytest

from raftwork.features.task_log import LINES_MAX, FollowLogs, Tail, TellLog
from raftwork.messages import Leader
from raftwork.worker.leader_session import LeaderSession
from raftwork.worker.log_tails import LOOK_MS, LogTails
from raftwork.worker.task_lines import KeptLines, NewLines, Read, line_of

AT = "127.0.0.1:1"


class Source:
    def __init__(self) -> None:
        self.logs: dict[int, KeptLines] = {}
        self.elsewhere = False

    def log(self, token: int, text: str, at: int = 0) -> None:
        self.logs.setdefault(token, KeptLines()).add(line_of(text, at))

    def lines(self, token: int, read: Read) -> NewLines | None:
        if self.elsewhere:
            return None
        last, lines = self.logs.setdefault(token, KeptLines()).since(read[0])
        return NewLines((last, 0), lines, last - len(lines) > read[0])


class Desk:
    def __init__(self) -> None:
        self.session = LeaderSession([AT], 0, Random(1))
        self.source, self.held = Source(), {7, 8}
        self.tails = LogTails(self.session, lambda token: token in self.held)
        self.now = 1_000
        self.open(1)

    def open(self, epoch: int) -> None:
        self.session.announced(AT, Leader(epoch, "a", AT, True, epoch), self.now)
        assert self.session.hello(self.now)
        assert self.session.welcomed(AT, epoch, self.session.number)

    def follow(self, token: int = 7, after: int = 0) -> None:
        asked = FollowLogs(self.session.epoch, self.session.number, [Tail(token, after)])
        self.tails.follow([asked], self.now)

    def turn(self, ms: int = LOOK_MS) -> list[TellLog]:
        self.now += ms
        return [f for f in self.tails.turn(self.source, self.now) if isinstance(f, TellLog)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def texts(frames: list[TellLog]) -> list[str]:
    return [line.data.decode() for frame in frames for line in frame.lines]


def test_nothing_is_told_that_nobody_follows(desk: Desk) -> None:
    desk.source.log(7, "one")
    assert desk.turn() == []
    assert desk.tails.look_at > desk.now + 1_000_000  # nor looked for


def test_what_was_logged_by_then_comes_first_and_each_line_once(desk: Desk) -> None:
    desk.source.log(7, "one", at=900)
    desk.follow()
    (first,) = desk.turn(0)
    assert (first.token, texts([first]), first.lines[0].age) == (7, ["one"], 100)
    assert desk.turn() == []
    desk.source.log(7, "two")
    (second,) = desk.turn()
    assert (texts([second]), second.after) == (["two"], first.after + 1)


def test_it_is_answered_at_once_without_a_line(desk: Desk) -> None:
    desk.follow()
    (frame,) = desk.turn(0)
    assert (frame.lines, frame.why) == ([], "")
    assert desk.turn() == []


def test_of_code_that_runs_elsewhere_it_says_so_once(desk: Desk) -> None:
    desk.source.elsewhere = True
    desk.follow()
    (frame,) = desk.turn(0)
    assert "runs elsewhere" in frame.why
    assert desk.turn() == []


def test_what_the_leader_lacks_is_told_again(desk: Desk) -> None:
    for text in ("one", "two", "three"):
        desk.source.log(7, text)
    desk.follow()
    (first,) = desk.turn(0)
    desk.open(2)
    desk.follow(after=first.after + 1)
    assert texts(desk.turn()) == ["two", "three"]
    desk.open(3)
    desk.follow()
    assert texts(desk.turn()) == ["one", "two", "three"]


def test_numbers_grow_also_where_it_was_not_followed_for_a_while(desk: Desk) -> None:
    desk.source.log(7, "one")
    desk.follow()
    (first,) = desk.turn(0)
    assert desk.turn(60_000) == []
    desk.follow(after=first.after + 1)
    (again,) = desk.turn(0)
    assert again.after > first.after + 1


def test_a_flood_is_cut_and_bounded(desk: Desk) -> None:
    desk.source.log(7, "one")
    desk.follow()
    (first,) = desk.turn(0)
    for number in range(10 * LINES_MAX):
        desk.source.log(7, f"{number} {'x' * 5_000}")
    (frame,) = desk.turn()
    assert frame.after > first.after + 1  # lines are missing
    assert frame.lines[-1].data.startswith(b"1999 ")
    assert sum(len(line.data) for line in frame.lines) <= 64 * 1024


def test_two_floods_take_turns(desk: Desk) -> None:
    desk.follow(7)
    desk.follow(8)
    desk.turn(0)
    told: list[int] = []
    for _ in range(4):
        for number in range(60):
            for token in (7, 8):
                desk.source.log(token, f"{number} {'x' * 1_000}")
        told += [frame.token for frame in desk.turn()]
    assert told == [7, 8, 7, 8]


def test_the_rest_goes_before_the_outcome(desk: Desk) -> None:
    desk.follow()
    desk.turn(0)
    desk.source.log(7, "last")
    told = desk.tails.ended([8, 7], desk.source, desk.now)
    assert texts([frame for frame in told if isinstance(frame, TellLog)]) == ["last"]
    desk.held.clear()
    desk.source.log(7, "later")
    assert desk.turn() == []
    assert desk.tails.look_at > desk.now + 1_000_000


def test_without_a_session_it_waits_and_does_not_spin(desk: Desk) -> None:
    desk.follow()
    desk.session.link_lost(AT, desk.now)
    assert desk.turn(0) == []
    assert desk.tails.look_at == desk.now + LOOK_MS


def test_what_is_not_here_means_nothing(desk: Desk) -> None:
    desk.follow(5)
    assert desk.turn(0) == []
