"""Tasks of a schedule wait for its others, though it said another thing when those were made."""

from collections.abc import Callable

import pytest

from raftwork.features.cancel import CancelTasks, Scope
from raftwork.features.schedule_plan import Overlap, encode_fields
from raftwork.features.schedule_records import (
    Declared,
    DeclareSchedules,
    PauseSchedule,
    TriggerSchedule,
    UpdateSchedule,
)
from raftwork.messages import PushedTask, State
from tests.unit.broker.scheduling import MINUTE, Scheduling, at, fields

IN_ORDER = [Overlap.QUEUE_ONE, Overlap.QUEUE_ALL, Overlap.CANCEL_PREVIOUS]


def changed(world: Scheduling, overlap: Overlap) -> None:
    over = fields(overlap=overlap)._replace(spec=None, payload=None)
    world.ask(UpdateSchedule(0, "nightly", encode_fields(over), 0))


def running(before: Overlap) -> tuple[Scheduling, PushedTask]:
    """A worker runs the first tick's task, which the policy made."""
    world = Scheduling()
    world.hello()
    world.create(every=MINUTE, overlap=before)
    world.sleep(MINUTE)
    (first,) = world.pushed()
    assert first.id == at(1)
    return world, first


def rows(world: Scheduling) -> int:
    """What is left of orders."""
    db = world.harness.queues.machine.state.db
    count: int = db.execute("SELECT (SELECT count(*) FROM key_order) + count(*) FROM tick").get
    return count


@pytest.mark.parametrize("overlap", IN_ORDER)
@pytest.mark.parametrize("before", [Overlap.SKIP, Overlap.ALLOW])
def test_another_policy_counts_for_what_runs_already(before: Overlap, overlap: Overlap) -> None:
    world, first = running(before)
    changed(world, overlap)
    world.sleep(MINUTE + 1_000)
    assert world.counts()["fired"] == 2
    assert world.pushed() == [], "the first one runs"
    world.finish(first)
    (second,) = world.pushed()
    assert second.id == at(2)
    world.finish(second)
    assert rows(world) == 0


@pytest.mark.parametrize("overlap", IN_ORDER)
def test_a_trigger_that_is_to_wait_waits(overlap: Overlap) -> None:
    world, first = running(Overlap.SKIP)
    world.ask(TriggerSchedule(0, "nightly", "by-hand", overlap))
    world.sleep(1_000)
    assert world.pushed() == []
    world.finish(first)
    assert [task.id for task in world.pushed()] == ["by-hand"]


def test_what_a_trigger_made_beside_the_order_is_waited_for_in_its_turn() -> None:
    world, first = running(Overlap.QUEUE_ALL)
    world.ask(TriggerSchedule(0, "nightly", "beside", Overlap.ALLOW))
    (beside,) = world.pushed()
    world.sleep(MINUTE)
    world.ask(PauseSchedule(0, "nightly", True))
    world.finish(first)
    world.sleep(1_000)
    assert world.pushed() == [], "the one beside came before the second tick"
    world.finish(beside)
    (second,) = world.pushed()
    assert second.id == at(2)
    world.finish(second)
    assert rows(world) == 0


def test_several_that_were_allowed_are_waited_for_and_what_waits_keeps_its_order() -> None:
    world, first = running(Overlap.ALLOW)
    world.sleep(2 * MINUTE)
    second, third = world.pushed()
    changed(world, Overlap.QUEUE_ALL)
    world.sleep(2 * MINUTE)
    world.ask(PauseSchedule(0, "nightly", True))
    for each in (third, first, second):
        assert world.pushed() == []
        world.finish(each)
    (fourth,) = world.pushed()
    assert fourth.id == at(4)
    world.finish(fourth)
    (fifth,) = world.pushed()
    assert fifth.id == at(5)
    world.finish(fifth)
    assert rows(world) == 0


def test_those_of_another_queue_are_waited_for() -> None:
    world = Scheduling()
    world.hello()

    def apply(queue: str) -> None:
        declared = fields(every=MINUTE, overlap=Overlap.QUEUE_ALL, queue=queue)
        each = Declared("nightly", encode_fields(declared))
        world.ask(DeclareSchedules(0, "m:app", [each], True))

    apply("default")
    world.sleep(2 * MINUTE)
    apply("b")
    world.sleep(MINUTE)
    apply("default")
    world.sleep(MINUTE)
    world.ask(PauseSchedule(0, "nightly", True))
    ran = list[str]()
    while tasks := world.pushed():
        (task,) = tasks
        ran.append(task.id)
        world.finish(task)
    assert ran == [at(1), at(2), at(3), at(4)]
    assert rows(world) == 0


@pytest.mark.parametrize("order", [sorted, lambda ids: sorted(ids, reverse=True)])
def test_those_that_end_together_let_the_next_one_go(
    order: Callable[[list[str]], list[str]],
) -> None:
    """Which are cancelled before they began."""
    world = Scheduling()
    world.create(every=MINUTE, overlap=Overlap.ALLOW)
    world.sleep(3 * MINUTE)
    changed(world, Overlap.QUEUE_ALL)
    world.sleep(MINUTE)
    world.ask(PauseSchedule(0, "nightly", True))
    world.ask(CancelTasks(0, Scope.IDS, order([at(1), at(2), at(3)]), "", "", 0))
    world.hello()
    world.sleep(1_000)
    (fourth,) = world.pushed()
    assert fourth.id == at(4)
    world.finish(fourth)
    assert rows(world) == 0


def test_what_takes_the_place_of_the_others_begins_when_they_have_ended() -> None:
    world, first = running(Overlap.ALLOW)
    world.sleep(MINUTE)
    (second,) = world.pushed()
    changed(world, Overlap.CANCEL_PREVIOUS)
    world.sleep(MINUTE)
    world.ask(PauseSchedule(0, "nightly", True))
    assert world.pushed() == []
    world.finish(first)
    assert world.pushed() == []
    world.sleep(11_000)  # the grace of the second one
    machine = world.harness.queues.machine
    assert machine.states([second.id, at(3)]) == [State.CANCELLED, State.RUNNING]
    assert [task.id for task in world.pushed()] == [at(3)]
