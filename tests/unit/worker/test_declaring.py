"""A worker that starts has its code's schedules created."""

from random import Random

from raftwork.features.schedule_records import DeclareSchedules, SchedulesDeclared
from raftwork.messages import Code, Leader, Refused
from raftwork.worker.declaring import Declaring
from raftwork.worker.leader_session import LeaderSession

FIRST, SECOND = (DeclareSchedules(0, "tasks:app", []) for _ in range(2))


class Desk:
    def __init__(self) -> None:
        self.now = 1_000
        self.session = LeaderSession(["a:1"], self.now, Random(1))
        self.declaring = Declaring([FIRST, SECOND], self.session)

    def open(self) -> None:
        if self.session.leader is None:
            self.session.announced("a:1", Leader(1, "a", "a:1", True, 1), self.now)
        self.session.reopen(self.now)
        assert self.session.hello(self.now)
        assert self.session.welcomed("a:1", 1, self.session.number)

    def asked(self, later: int = 0) -> list[object]:
        """The numbers of what it asks."""
        self.now += later
        return [request[0] for request in self.declaring.turn(self.now)]


def test_nothing_is_asked_before_there_is_a_session() -> None:
    desk = Desk()
    assert desk.asked() == []
    desk.open()
    assert desk.asked() == [1, 2]


def test_it_asks_until_it_is_answered_and_anew_in_each_session() -> None:
    desk = Desk()
    desk.open()
    assert desk.asked() == [1, 2] and desk.asked(1_999) == []
    fates = [("nightly", "created")]
    assert desk.declaring.answered(SchedulesDeclared(1, fates)) == fates
    assert desk.declaring.answered(SchedulesDeclared(1, fates)) == []
    assert desk.asked(1) == [2]
    desk.open()
    assert desk.asked() == [2]
    desk.declaring.answered(SchedulesDeclared(2, []))
    assert desk.asked(100_000) == []


def test_what_is_refused_is_asked_again_after_a_minute() -> None:
    desk = Desk()
    desk.open()
    desk.asked()
    for number in (1, 2):
        desk.declaring.refused(Refused(number, Code.UNSUPPORTED, "level 1"), desk.now)
    desk.declaring.refused(Refused(7, Code.OTHER, "nothing of ours"), desk.now)
    assert desk.asked(59_999) == [] and desk.asked(1) == [1, 2]
