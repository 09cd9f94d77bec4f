"""A task that is moved in time while an Assign of it is on its way is handed out once, not lost."""

from raftwork.broker.machine.commands import Assign
from raftwork.features.pause_queue import Pause, PauseQueue, ResumeQueue
from raftwork.features.reschedule import MoveTo, Reschedule
from raftwork.messages import State
from tests.unit.broker.leadership_harness import LeadershipHarness


def moved(harness: LeadershipHarness, at: int) -> None:
    """Its first task waits, is moved and meanwhile assigned; the Assign comes behind the move."""
    harness.enqueue("a")
    harness.turn()
    harness.hello()
    request = Reschedule(9, "a", at)
    harness.lead.request(b"c", request, 9, harness.now)
    ((move, assign),) = harness.plan()
    assert (type(move), type(assign)) == (MoveTo, Assign)


def test_an_assign_behind_a_move_frees_the_slot_and_the_task_runs_at_its_time() -> None:
    harness = LeadershipHarness()
    later = harness.lead.time(harness.now) + 1_000
    moved(harness, later)
    harness.turn(1)
    assert harness.queues.machine.states(["a"]) == [State.SCHEDULED]
    (worker,) = harness.lead.workers.available()
    assert worker.busy == 0
    harness.turn(1_100)
    harness.turn()
    assert harness.queues.machine.states(["a"]) == [State.RUNNING]
    assert worker.busy == 1


def test_a_task_that_waits_again_before_its_assign_is_refused_is_not_forgotten() -> None:
    harness = LeadershipHarness()
    moved(harness, 0)  # it waits again from the next entry on
    harness.turn(1)
    harness.turn(10)
    harness.turn(10)
    assert harness.queues.machine.states(["a"]) == [State.RUNNING]
    (worker,) = harness.lead.workers.available()
    assert worker.busy == 1


def test_a_task_that_waits_again_and_is_refused_all_the_same_is_found_once() -> None:
    """Its queue was paused meanwhile: found twice it would be handed out twice."""
    harness = LeadershipHarness()
    harness.enqueue("a")
    harness.turn()
    harness.lead.request(b"c", Reschedule(9, "a", 0), 9, harness.now)
    assert [type(c) for c in harness.plan()[0]] == [MoveTo]
    harness.hello()
    harness.lead.request(b"c", PauseQueue(10, "default"), 9, harness.now)
    ((pause, assign),) = harness.plan()
    assert (type(pause), type(assign)) == (Pause, Assign)
    harness.commit()
    assert harness.queues.machine.states(["a"]) == [State.QUEUED]
    harness.lead.request(b"c", ResumeQueue(11, "default"), 9, harness.now)
    harness.turn()
    harness.turn()
    assert harness.queues.machine.states(["a"]) == [State.RUNNING]
    (worker,) = harness.lead.workers.available()
    assert worker.busy == 1
