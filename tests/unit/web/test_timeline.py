"""The last minute's attempts: what is new is asked for, and what is old goes."""

from typing import Any

from raftwork.features.ended_attempts import EndedAttempts, EndedTold, ListEnded
from raftwork.features.event_journal import EventKind
from raftwork.web.timeline import BARS_MAX, WINDOW_MS, Bar, Timeline

NOW = 1_000_000


class Leader:
    """Answers with what it is given, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[ListEnded] = []
        self.told: list[EndedTold] = []

    def call(self, request: ListEnded, _reply: object) -> "Leader":
        self.asked.append(request)
        return self

    def result(self) -> EndedTold:
        return self.told.pop(0)


def told(seq: int, now: int, *ends: tuple[int, str], more: bool = False) -> EndedTold:
    attempts = [
        EndedAttempts(at, EventKind.LOST, "q", "m.f", "w1", [id_], [at - 5]) for at, id_ in ends
    ]
    return EndedTold(1, attempts, 1, seq, more, now)


def test_what_is_new_is_asked_for_and_what_is_old_goes() -> None:
    leader: Any = Leader()
    timeline = Timeline()
    leader.told = [
        told(7, NOW, (NOW - 5, "b"), (NOW - 50_000, "a")),
        told(9, NOW + 20_000, (NOW + 10_000, "c")),
    ]
    first = timeline.window(leader)
    assert first.bars[0] == Bar(NOW - 50_005, NOW - 50_000, "w1", "m.f", "lost", "a")
    assert [bar.id for bar in timeline.window(leader).bars] == ["b", "c"]
    assert (leader.asked[0].epoch, leader.asked[0].seq) == (0, 0)
    assert (leader.asked[1].epoch, leader.asked[1].seq) == (1, 7)
    assert leader.asked[1].since == NOW - WINDOW_MS


def test_more_than_can_be_drawn_is_said_until_it_is_old() -> None:
    leader: Any = Leader()
    timeline = Timeline()
    leader.told = [
        told(1, NOW, *((NOW - 9, f"{n}") for n in range(BARS_MAX)), more=True),
        told(2, NOW, *((NOW - 5, f"new {n}") for n in range(10))),
        told(3, NOW + WINDOW_MS),
    ]
    assert timeline.window(leader).more
    again = timeline.window(leader)
    assert (len(again.bars), again.bars[-1].id, again.more) == (BARS_MAX, "new 9", True)
    assert timeline.window(leader) == (NOW + WINDOW_MS, [], False)
