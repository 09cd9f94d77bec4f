"""What running tasks say goes to the leader, and its verdicts come back."""

from random import Random

import pytest

from raftwork.features.checkpoints import CheckpointAnswered, KeepCheckpoint, Verdict
from raftwork.features.progress import TellProgress, Told
from raftwork.messages import Leader
from raftwork.worker.leader_session import LeaderSession
from raftwork.worker.task_notes import LOOK_MS, Board, Courier, Said


class Desk:
    """A courier with an open session, and the board that it reads."""

    def __init__(self) -> None:
        self.now = 1_000
        self.session = LeaderSession(["a:1"], self.now, Random(1))
        self.courier = Courier(self.session)
        self.woken = 0
        self.board = Board(self.wake)
        self.open()

    def wake(self) -> None:
        self.woken += 1

    def open(self) -> None:
        if self.session.leader is None:
            self.session.announced("a:1", Leader(1, "a", "a:1", True, 1), self.now)
        self.session.reopen(self.now)
        assert self.session.hello(self.now)
        assert self.session.welcomed("a:1", 1, self.session.number)

    def turn(self) -> list[tuple[object, ...]]:
        self.courier.asked(self.board.asked(), self.now)
        if self.now >= self.courier.look_at:
            self.courier.said(self.board.said(), self.now)
        return self.courier.turn(self.now)

    def answer(self, token: int, number: int, verdict: Verdict) -> None:
        frame = CheckpointAnswered(1, self.session.number, token, number, verdict)
        self.courier.answered([frame], self.board)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def told(frames: list[tuple[object, ...]]) -> list[Told]:
    return [each for frame in frames if isinstance(frame, TellProgress) for each in frame.told]


def test_of_many_words_a_task_says_the_last_are_told_twice_a_second(desk: Desk) -> None:
    for part in range(100):
        desk.board.say(7, part / 100, f"{part}")
    (first,) = told(desk.turn())
    assert first[:3] == (7, 0.99, "99")
    desk.board.say(7, 1.0, "all")
    desk.now += LOOK_MS - 1
    assert desk.turn() == []
    desk.now += 1
    assert [each[:3] for each in told(desk.turn())] == [(7, 1.0, "all")]


def test_what_is_not_new_is_told_again_to_a_new_session_only(desk: Desk) -> None:
    desk.courier.said([Said(7, 0.5, "half", 900)], desk.now)
    assert told(desk.turn()) == [Told(7, 0.5, "half", 100)]
    desk.courier.said([Said(7, 0.5, "half", 900)], desk.now)
    assert desk.turn() == []
    desk.open()
    assert told(desk.turn()) == [Told(7, 0.5, "half", 100)]
    desk.courier.forget([7])
    desk.open()
    assert desk.turn() == []


def test_a_checkpoint_wakes_the_loop_and_waits_for_its_verdict(desk: Desk) -> None:
    number = desk.board.ask(7, b"v")
    assert desk.woken == 1
    assert desk.turn() == [KeepCheckpoint(1, 7, number, b"v")]
    assert desk.board.verdict(7, number) is None
    desk.answer(7, number + 1, Verdict.KEPT)
    assert desk.board.verdict(7, number) is None, "the verdict on another one"
    desk.answer(7, number, Verdict.KEPT)
    assert desk.board.verdict(7, number) is Verdict.KEPT


def test_a_checkpoint_is_sent_again_until_it_is_answered_and_to_each_new_leader(
    desk: Desk,
) -> None:
    number = desk.board.ask(7, b"v")
    assert len(desk.turn()) == 1
    assert desk.turn() == []
    desk.now += 1_000
    assert len(desk.turn()) == 1
    desk.open()
    assert desk.turn() == [KeepCheckpoint(2, 7, number, b"v")]
    desk.answer(7, number, Verdict.FULL)
    desk.now += 5_000
    assert desk.turn() == []


def test_without_a_session_nothing_is_sent(desk: Desk) -> None:
    desk.session.open = False
    desk.board.ask(7, b"v")
    desk.board.say(7, 0.1, "")
    assert desk.turn() == []


def test_what_waits_for_a_verdict_of_an_attempt_that_is_over_waits_no_more(desk: Desk) -> None:
    number = desk.board.ask(7, b"v")
    desk.turn()
    desk.courier.forget([7], desk.board)
    assert desk.board.verdict(7, number) is Verdict.VOID


def test_the_board_forgets_what_has_ended(desk: Desk) -> None:
    desk.board.say(7, 0.1, "")
    desk.board.answer(7, 1, Verdict.KEPT)
    desk.board.forget([7])
    assert desk.board.said() == []
    assert desk.board.verdict(7, 1) is None


def test_a_verdict_that_only_a_newer_broker_knows_is_a_refusal() -> None:
    assert Verdict(99) is Verdict.REFUSED
