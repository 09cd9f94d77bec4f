"""What a worker tells the leader of tasks that wait for others, and what it is told."""

from raftwork.messages import Deadlock, EndWaits, Heartbeat, Hopeless, Report, Wait
from raftwork.worker.pool import Running
from raftwork.worker.told_waits import ToldWaits
from tests.unit.worker.conversation import Conversation, task


def _wait(token: int, turn: int = 1, *, parked: bool = True) -> Wait:
    return Wait(token, turn, parked, ["x"], True)


def _told(talk: Conversation) -> list[Wait]:
    return [wait for report in talk.all(Report) for wait in report.waits]


def _waits(talk: Conversation, *waits: Wait) -> None:
    talk.agent.waiting(waits, talk.now)
    talk.turn()


def _working(*tokens: int) -> Conversation:
    talk = Conversation(slots=1)
    talk.join()
    for token in tokens:
        talk.push(task(token))
        talk.begin(token)
    talk.forget()
    return talk


def test_each_change_is_told_once() -> None:
    talk = _working(1)
    _waits(talk, _wait(1))
    _waits(talk, _wait(1))
    _waits(talk, _wait(1, 2))
    _waits(talk)
    _waits(talk)
    assert _told(talk) == [_wait(1), _wait(1, 2), Wait(1, 0)]


def test_a_new_session_is_told_all_of_them() -> None:
    talk = _working(1)
    _waits(talk, _wait(1))
    talk.forget()
    talk.join("b:1", epoch=2)
    assert _told(talk) == [_wait(1)]


def test_the_leader_is_told_that_it_runs_before_it_is_told_that_it_waits() -> None:
    talk = Conversation(slots=1)
    talk.join()
    talk.push(task(1))
    talk.agent.waiting([_wait(1)], talk.now)
    talk.look(Running(1, talk.now))
    (report,) = talk.all(Report)
    assert [each.token for each in report.started] == [1]
    assert report.waits == [_wait(1)]


def test_a_parked_task_makes_room_for_another_one() -> None:
    talk = _working(1)
    talk.push(task(2))
    before = talk.agent.saturated
    _waits(talk, _wait(1))
    assert (before, talk.agent.saturated) == (True, False)
    talk.pass_time(1_100)
    assert talk.all(Heartbeat)[-1].running == 1


def test_the_end_of_a_task_that_waited_is_no_measure_of_run_times() -> None:
    talk = _working(1)
    _waits(talk, _wait(1))
    _waits(talk)
    talk.end(1, elapsed=5.0)
    talk.pass_time(1_100)
    beat = talk.all(Heartbeat)[-1]
    assert (beat.window, beat.ended) == (0, 0)
    assert not talk.agent.waits.have_waited


def test_a_task_that_is_over_is_not_told_to_wait_no_more() -> None:
    told = ToldWaits()
    assert told.see([_wait(1), _wait(2, parked=False)])
    assert told.parked == 1
    assert told.over(1)
    assert not told.over(3)
    assert told.parked == 0
    assert told.take() == [_wait(2, parked=False)]
    assert not told.news


def test_what_a_parked_task_holds_back_is_no_stuck_slot() -> None:
    talk = _working(1)
    _waits(talk, _wait(1))
    talk.push(task(2))
    talk.pass_time(100)
    talk.look(Running(1, talk.now))
    talk.pass_time(300)
    talk.look(Running(1, talk.now))
    assert talk.released() == [], "its slot is free: the pool is about to start it"


def test_waits_without_hope_are_handed_to_the_pool() -> None:
    talk = _working(1)
    hopeless = [Hopeless(1, 1, Deadlock.GATE)]
    talk.agent.receive("a:1", EndWaits(1, talk.session, hopeless), talk.now)
    assert talk.agent.turn(talk.now).hopeless == hopeless
    assert talk.agent.turn(talk.now).hopeless == []
    talk.agent.receive("a:1", EndWaits(1, talk.session - 1, hopeless), talk.now)
    assert talk.agent.turn(talk.now).hopeless == []
