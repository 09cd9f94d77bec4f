"""Tasks that a worker is not given: those it does not know, and those that were lost under it."""

from collections import Counter
from random import Random

import pytest

from raftwork.broker.dispatch import skipped
from raftwork.broker.machine import Waiting
from raftwork.broker.placement import eligibility
from raftwork.broker.placement.eligibility import ANYWHERE, Eligibility, PlacementRule
from raftwork.broker.workers.registry import BEAT_MS, LOST_SHOWN_MS
from raftwork.messages import Spec, State, encode_spec
from tests.unit.broker.leases import LEASE_MS
from tests.unit.broker.scripted_workers import (
    ScriptedWorkers,
    dies,
    knows,
    raises,
    returns,
    runs_on,
)


def deployed(slots: int = 1) -> ScriptedWorkers:
    """A worker with old code, known not to know `b`, and one with new code, which runs on."""
    harness = ScriptedWorkers()
    harness.join("old", knows("a"), slots=slots)
    harness.want("first", name="b")
    harness.work()
    assert harness.state("first") is State.FAILED  # nobody else was there
    harness.join("new", knows("a", "b", code=runs_on))
    harness.ran.clear()
    return harness


# ---- names ------------------------------------------------------------------------------------


def test_a_task_goes_to_a_worker_that_knows_it() -> None:
    harness = ScriptedWorkers()
    harness.join("old", knows("a"), slots=2, window=8)
    harness.join("new", knows("a", "b"), slots=2, window=8)
    for n in range(50):
        harness.want(f"a{n}", name="a")
        harness.want(f"b{n}", name="b")
    harness.work()
    assert {harness.state(f"{kind}{n}") for kind in "ab" for n in range(50)} == {State.SUCCEEDED}
    assert (
        len([task for task in harness.by("old") if task[0] == "b"]) <= 10
    )  # what it held at first
    assert len([task for task in harness.by("old") if task[0] == "a"]) > 10


def test_who_does_not_know_a_task_is_given_none_of_that_name_any_more() -> None:
    harness = deployed()
    harness.want("b0", name="b")
    harness.work()
    harness.want("b1", "b2", name="b")
    harness.work(1_000)
    assert harness.ran == [("new", "b0")]
    assert harness.state("b2") is State.QUEUED


def test_a_hand_back_charges_neither_a_failure_nor_a_loss() -> None:
    harness = ScriptedWorkers()
    harness.join("old", knows("a"))
    harness.join("new", knows("a", "b", code=runs_on))
    harness.want("b0", name="b")  # the new one has it
    harness.work()
    harness.want("b1", name="b", at_most_once=True)
    harness.work()
    (task,) = harness.queues.machine.waiting("default", 0, 9, 1 << 20)
    assert (task.id, task.losses) == ("b1", 0)
    harness.end("new", returns)
    harness.work()
    harness.end("new", returns)
    harness.work()
    assert harness.state("b1") is State.SUCCEEDED


def test_what_nobody_knows_fails_with_the_workers_words() -> None:
    harness = ScriptedWorkers()
    harness.join("v", knows("a"))
    harness.join("w", knows("a"))
    harness.want("x0", name="x")
    harness.work()
    assert sorted(harness.ran) == [("v", "x0"), ("w", "x0")]
    assert harness.failure("x0").message == "this worker has no task 'x'"
    harness.ran.clear()
    harness.want("x1", name="x")
    harness.work()
    assert len(harness.ran) == 1  # it is known that none of them knows
    assert harness.state("x1") is State.FAILED


def test_others_pass_a_task_that_waits_for_who_knows_it() -> None:
    harness = deployed(slots=2)
    harness.want("b0", "b1", "b2", "b3", name="b")
    harness.want(*(f"a{n}" for n in range(20)), name="a")
    harness.work()
    assert [harness.state(f"a{n}") for n in range(20)] == [State.SUCCEEDED] * 20
    assert harness.by("new") == ["b0"]
    for n in range(1, 4):
        harness.end("new", returns)
        harness.work()
        assert harness.by("new")[-1] == f"b{n}"


def test_a_task_that_was_passed_is_the_first_when_there_is_room() -> None:
    harness = deployed()
    harness.want("b0", "b1", name="b")
    harness.work()
    harness.code["old"] = knows("a", code=runs_on)
    harness.want("a0", "a1", name="a")
    harness.work()
    harness.end("new", returns)
    harness.want("a2", name="a")
    harness.work()
    assert harness.by("new") == ["b0", "b1"]


def test_tasks_of_one_name_do_not_starve_those_of_another_that_wait_for_the_same_worker() -> None:
    harness = ScriptedWorkers()
    harness.join("none", knows("c"), slots=8)
    harness.want("a0", name="a")
    harness.want("b0", name="b")
    harness.work()
    harness.join("both", knows("a", "b", code=runs_on))
    harness.want("a1", "a2", "a3", name="a")
    harness.want("b1", name="b")
    for n in range(4, 30):  # more of them all the time
        harness.want(f"a{n}", name="a")
        harness.work()
        harness.end("both", returns)
    assert harness.by("both").index("b1") == 3


def test_so_many_pass_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skipped, "SKIPPED_TASKS_MAX", 5)
    harness = deployed()
    harness.want(*(f"b{n}" for n in range(9)), name="b")
    harness.work()
    harness.want("a0", name="a")
    harness.work()
    assert harness.state("a0") is State.QUEUED
    for _ in range(4):
        harness.end("new", returns)
        harness.work()
    assert harness.state("a0") is State.SUCCEEDED
    assert "a0" in harness.by("old")


def test_memory_for_what_was_passed_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skipped, "SKIPPED_BYTES_MAX", 3 * len(b"payload"))
    harness = deployed(slots=8)  # so many could be read at once
    harness.want(*(f"b{n}" for n in range(9)), name="b")
    harness.want("a0", name="a")
    harness.work()
    passed = harness.lead._dispatcher._backlogs["default"].skipped
    assert (passed.bytes_left, passed._bytes) == (0, 21)
    assert harness.state("a0") is State.QUEUED


def test_when_who_knows_it_is_gone_a_task_fails() -> None:
    harness = deployed()
    harness.want("b0", "b1", name="b")
    harness.work()
    assert harness.state("b1") is State.QUEUED
    harness.leave("new")
    del harness.code["new"]
    harness.work(2 * BEAT_MS)
    assert harness.state("b1") is State.FAILED


def test_who_may_come_back_is_waited_for() -> None:
    harness = ScriptedWorkers()
    harness.join("old", knows("a"))
    harness.join("new", knows("a", "b"))
    harness.want("b0", "b1", name="b")
    harness.work()
    harness.lead.workers.unreachable(b"new", harness.now)
    harness.want("b2", name="b")
    harness.work(500)
    assert harness.state("b2") is State.QUEUED
    del harness.code["new"]
    harness.work(LEASE_MS)
    assert harness.state("b2") is State.FAILED


def test_a_new_leader_waits_for_workers_that_may_say_hello() -> None:
    harness = ScriptedWorkers(settled=False)
    harness.join("old", knows("a"))
    harness.want("b0", name="b")
    harness.work(LEASE_MS - 500)
    assert harness.by("old") == ["b0"]
    assert harness.state("b0") is State.QUEUED
    harness.join("new", knows("a", "b"))
    harness.work()
    assert harness.state("b0") is State.SUCCEEDED


def test_a_new_leader_waits_no_longer_than_a_lease() -> None:
    harness = ScriptedWorkers(settled=False)
    harness.join("old", knows("a"))
    harness.want("b0", name="b")
    harness.work(LEASE_MS + 2 * BEAT_MS)
    assert harness.state("b0") is State.FAILED


def test_the_names_a_worker_does_not_know_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eligibility, "NAMES_MAX", 3)
    harness = ScriptedWorkers()
    harness.join("old", knows("a"))
    harness.join("new", knows("a", code=runs_on))
    harness.want("busy", name="a")
    harness.work()
    if harness.by("old"):
        harness.want("busy too", name="a")
        harness.work()
    for n in range(5):
        harness.want(f"x{n}", name=f"x{n}")
    harness.work(2_000)  # it rests after so many
    kept = harness.lead.workers.eligibility
    assert max(map(len, kept._names.values())) == 3
    assert [harness.state(f"x{n}") for n in range(5)] == [State.QUEUED] * 3 + [State.FAILED] * 2


def test_those_that_may_go_anywhere_are_placed_last() -> None:
    kept = Eligibility(lambda *_, wait_for_absent: True)
    kept.does_not_know(b"w", "b")
    specs = {name: encode_spec(Spec(name, "default")) for name in "ab"}
    tasks = [Waiting(seq, name, specs[name], b"", 1, 0) for seq, name in enumerate("aabab")]
    split = [(rule, [task.seq for task in group]) for rule, group in kept.split(tasks)]
    assert split == [(PlacementRule("b"), [2, 4]), (ANYWHERE, [0, 1, 3])]


def test_of_a_worker_that_is_gone_nothing_is_kept() -> None:
    harness = ScriptedWorkers()
    harness.join("w", knows("a"))
    harness.want("b", name="b")
    harness.work()
    assert harness.lead.workers.eligibility
    harness.leave("w")
    del harness.code["w"]
    harness.work(LOST_SHOWN_MS + 2 * BEAT_MS, step=BEAT_MS)
    assert not harness.lead.workers.eligibility


def test_a_worker_that_is_forgotten_leaves_nothing_behind() -> None:
    kept = Eligibility(lambda *_, wait_for_absent: True)
    kept.does_not_know(b"v", "a")
    kept.does_not_know(b"w", "a")
    kept.does_not_know(b"v", "b")
    kept.left(b"v")
    assert kept.excluded("q", PlacementRule("a")) == {b"w"}
    kept.left(b"w")
    assert not kept
    assert kept.rule("a") is ANYWHERE


# ---- losses -----------------------------------------------------------------------------------


def test_a_task_that_was_lost_is_tried_by_another_worker() -> None:
    harness = ScriptedWorkers()
    harness.join("bad", dies)
    harness.join("good", runs_on)
    harness.want("t0", "t1", "t2")
    harness.work(1_000)
    for _ in range(3):
        harness.end("good", returns)
        harness.work()
    assert [harness.state(f"t{n}") for n in range(3)] == [State.SUCCEEDED] * 3
    assert not harness.lead.workers.eligibility
    assert max(Counter(harness.by("bad")).values()) == 1


def test_a_task_that_was_lost_everywhere_goes_anywhere() -> None:
    harness = ScriptedWorkers()
    harness.join("v", dies)
    harness.join("w", dies)
    harness.want("t", max_losses=3)
    harness.work()
    assert harness.state("t") is State.LOST
    assert sorted(Counter(harness.ran).values()) == [1, 2]


def test_a_task_goes_back_to_where_it_was_lost_rather_than_to_who_does_not_know_it() -> None:
    harness = deployed()
    harness.want("b0", name="b", max_losses=2)
    harness.work()
    harness.end("new", dies)
    harness.work()
    assert harness.ran == [("new", "b0")] * 2
    harness.end("new", dies)
    harness.work()
    assert harness.state("b0") is State.LOST


def test_the_only_worker_is_given_a_lost_task_at_once_also_by_a_new_leader() -> None:
    harness = ScriptedWorkers(settled=False)
    harness.join("w", dies)
    harness.want("t", max_losses=3)
    harness.work()
    assert harness.state("t") is State.LOST


def test_nobody_holds_tasks_ahead_past_a_lost_one_that_waits_for_it() -> None:
    harness = ScriptedWorkers()
    harness.join("good", runs_on, slots=1, window=4)
    harness.want(*(f"g{n}" for n in range(5)))
    harness.work()
    harness.join("bad", dies)
    harness.want("lost")
    harness.work()
    harness.code["bad"] = runs_on
    harness.want(*(f"t{n}" for n in range(9)))
    harness.work()
    harness.ran.clear()
    for _ in range(4):
        harness.end("good", returns, 1)
        harness.work()
    assert harness.ran == []  # its slot is free once it has nothing
    harness.end("good", returns)
    harness.work()
    assert harness.by("good")[0] == "lost"


def test_a_lost_task_waits_for_no_absent_worker_and_one_of_a_name_does() -> None:
    asked: list[tuple[frozenset[bytes], bool]] = []

    def has_other_worker(queue: str, excluded: frozenset[bytes], *, wait_for_absent: bool) -> bool:
        assert queue == "default"
        asked.append((excluded, wait_for_absent))
        return True

    kept = Eligibility(has_other_worker)
    kept.lost(b"w", 1)
    kept.does_not_know(b"v", "b")
    specs = {name: encode_spec(Spec(name, "default")) for name in "ab"}
    lost, named = Waiting(1, "lost", specs["a"], b"", 2, 1), Waiting(2, "b", specs["b"], b"", 1, 0)
    excluded = [kept.excluded("default", rule) for rule, _ in kept.split([lost, named])]
    assert excluded == [{b"w"}, {b"v"}]
    assert asked == [(frozenset({b"w"}), False), (frozenset({b"v"}), True)]


def test_only_tasks_that_were_lost_and_not_settled_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(eligibility, "LOST_MAX", 2)
    kept = Eligibility(lambda *_, wait_for_absent: True)
    for seq in (1, 2, 3):
        kept.lost(b"w", seq)
    kept.lost(b"v", 2)
    assert kept._lost == {3: (b"w",), 2: (b"w", b"v")}
    kept.settled(2)
    kept.settled(3)
    assert not kept


# ---- all together -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_whatever_they_know_every_task_is_done_by_one_that_knows_it(seed: int) -> None:
    rng = Random(seed)
    harness = ScriptedWorkers()
    names = "abcd"
    known = {f"w{n}": rng.sample(names, rng.randint(1, 3)) for n in range(4)}
    for worker, some in known.items():
        code = rng.choice((returns, returns, raises))
        harness.join(worker, knows(*some, code=code), rng.randint(1, 3), rng.choice((0, 0, 5)))
    tasks: dict[str, str] = {}
    for step in range(30):
        batch = [f"{step}.{n}" for n in range(rng.choice((1, 1, 7)))]
        name = rng.choice(names)
        tasks |= dict.fromkeys(batch, name)
        harness.want(*batch, name=name, at_most_once=rng.random() < 0.2)
        if rng.random() < 0.5:
            harness.work()
    harness.work(5_000)  # some of them rest
    everybody = {name for some in known.values() for name in some}
    for task, name in tasks.items():
        failed = harness.state(task) is State.FAILED
        assert harness.state(task).final
        if failed:
            told = harness.failure(task).type
            assert told == ("ValueError" if name in everybody else "UnknownTask")
