"""A paused queue hands nothing out; a deleted one is gone, and its number with it."""

from raftwork.broker.machine.commands import Assign, Tick
from raftwork.features.dead_letters import Purge
from raftwork.features.effects import (
    Assigned,
    EnqueuedAndAssigned,
    NotAssigned,
    Queued,
    QueueResumed,
    Requeued,
)
from raftwork.features.enqueue import Admit
from raftwork.features.pause_queue import Delete, Pause, Resume
from raftwork.messages import Code, Spec, State, encode_spec
from raftwork.wire import pack
from tests.unit.broker.machine.driver import WORKER, Driver, spec_of


def test_what_was_chosen_just_before_a_pause_waits_again(driver: Driver) -> None:
    driver.enqueue("a", "b")
    (running,) = driver.assign(1)
    assert driver.effects(Pause("default", 0)) == []
    assert driver.apply(Assign(WORKER, [2])).effects == [NotAssigned([2]), Requeued("default", 2)]
    driver.finish(running)
    driver.reopen()
    assert driver.machine.is_paused("default")
    assert driver.apply(Assign(WORKER, [2])).effects == [NotAssigned([2]), Requeued("default", 2)]
    assert driver.effects(Resume("default")) == [QueueResumed("default")]
    assert len(driver.assign(2)) == 1
    assert driver.effects(Resume("default")) == []
    assert driver.machine.states(["a"]) == [State.SUCCEEDED]


def test_new_tasks_of_a_paused_queue_begin_nowhere(driver: Driver) -> None:
    driver.effects(Pause("default", 0))
    begin = driver.put("a")._replace(begin=[(WORKER, 1)])
    (effect,) = driver.effects(begin)
    assert isinstance(effect, Queued) and not isinstance(effect, EnqueuedAndAssigned)
    assert driver.machine.queue("default").paused_until > 0


def test_a_pause_ends_at_its_time(driver: Driver) -> None:
    driver.enqueue("a")
    driver.effects(Pause("default", driver.now + 500))
    assert driver.machine.due == driver.now + 500
    driver.now += 500
    applied = driver.apply(Assign(WORKER, [1]))
    assert applied.effects[0] == QueueResumed("default")
    assert isinstance(applied.effects[1], Assigned)
    assert list(driver.db.execute("SELECT * FROM timer")) == []


def test_another_pause_takes_the_place_of_one(driver: Driver) -> None:
    driver.effects(Pause("default", driver.now + 500))
    assert driver.effects(Pause("default", 0)) == []  # nothing goes on in between
    driver.now += 500
    assert driver.apply(Tick()).effects == []
    assert driver.machine.is_paused("default")
    driver.effects(Pause("default", driver.now))  # of now, or the past: it goes on
    assert not driver.machine.is_paused("default")


def test_only_an_empty_queue_is_deleted(driver: Driver) -> None:
    token = driver.start("a")
    refused = driver.refusal(Delete("default"))
    assert refused.code is Code.PROTOCOL and "0 tasks wait and 1 run" in refused.text
    driver.finish(token)
    driver.lose(driver.start("dead", spec=spec_of("other", at_most_once=True)))
    assert "1 dead tasks" in driver.refusal(Delete("other")).text
    driver.effects(Pause("default", driver.now + 500))
    driver.effects(Delete("default"))
    assert [queue.name for queue in driver.machine.queues()] == ["other"]
    assert list(driver.db.execute("SELECT * FROM timer")) == []
    driver.effects(Delete("never used"))


def test_a_number_is_never_given_twice(driver: Driver) -> None:
    """What has ended keeps the number of its queue."""
    driver.finish(driver.start("a"))
    driver.finish(driver.start("b", spec=spec_of("last")))
    driver.effects(Delete("last"))
    driver.effects(Delete("default"))
    driver.reopen()
    driver.enqueue("c", spec=spec_of("new"))
    driver.enqueue("d", spec=spec_of("new"))
    found = dict(driver.db.execute("SELECT id, queue FROM task"))
    assert found == {"a": 1, "b": 2, "c": 3, "d": 3}
    assert list(driver.db.execute("SELECT number, name FROM queue")) == [(3, "new")]
    before = driver.machine.digest()
    driver.reopen()
    assert driver.machine.digest() == before
    assert driver.machine.states(["a", "c"]) == [State.SUCCEEDED, State.QUEUED]


def test_a_deleted_queue_leaves_no_halted_key(driver: Driver) -> None:
    """Nobody could resume it any more, and it would count for ever."""
    spec = encode_spec(Spec("module.task", "default", ordered=True, halts=True))
    driver.apply(Admit(driver.now, spec, pack([["a", b"", "ada"]])))
    driver.fail(*driver.assign(1))
    assert driver.machine.state.halted_keys == 1
    driver.apply(Purge([], ""))
    driver.effects(Delete("default"))
    assert driver.machine.state.halted_keys == 0
    assert list(driver.db.execute("SELECT * FROM key_order")) == []
