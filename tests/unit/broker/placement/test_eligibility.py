"""Tasks that a worker is not given: those it does not know, and those that were lost under it."""

from collections import Counter
from random import Random

import pytest

from raftwork.broker.dispatch import skipped
from raftwork.broker.machine import Waiting
from raftwork.broker.placement import eligibility
from raftwork.broker.placement.eligibility import ANYWHERE, Eligibility, PlacementRule
from raftwork.broker.workers.registry import BEAT_MS, LEASE_MS, LOST_SHOWN_MS
from raftwork.messages import Spec, State, encode_spec
from tests.unit.broker.crew import Crew, dies, knows, raises, returns, runs_on


def deployed(slots: int = 1) -> Crew:
    """A worker with old code, known not to know `b`, and one with new code, which runs on."""
    crew = Crew()
    crew.join("old", knows("a"), slots=slots)
    crew.want("first", name="b")
    crew.work()
    assert crew.state("first") is State.FAILED  # nobody else was there
    crew.join("new", knows("a", "b", code=runs_on))
    crew.ran.clear()
    return crew


# ---- names ------------------------------------------------------------------------------------


def test_a_task_goes_to_a_worker_that_knows_it() -> None:
    crew = Crew()
    crew.join("old", knows("a"), slots=2, window=8)
    crew.join("new", knows("a", "b"), slots=2, window=8)
    for n in range(50):
        crew.want(f"a{n}", name="a")
        crew.want(f"b{n}", name="b")
    crew.work()
    assert {crew.state(f"{kind}{n}") for kind in "ab" for n in range(50)} == {State.SUCCEEDED}
    assert len([task for task in crew.by("old") if task[0] == "b"]) <= 10  # what it held at first
    assert len([task for task in crew.by("old") if task[0] == "a"]) > 10


def test_who_does_not_know_a_task_is_given_none_of_that_name_any_more() -> None:
    crew = deployed()
    crew.want("b0", name="b")
    crew.work()
    crew.want("b1", "b2", name="b")
    crew.work(1_000)
    assert crew.ran == [("new", "b0")]
    assert crew.state("b2") is State.QUEUED


def test_a_hand_back_charges_neither_a_failure_nor_a_loss() -> None:
    crew = Crew()
    crew.join("old", knows("a"))
    crew.join("new", knows("a", "b", code=runs_on))
    crew.want("b0", name="b")  # the new one has it
    crew.work()
    crew.want("b1", name="b", at_most_once=True)
    crew.work()
    (task,) = crew.queues.machine.waiting("default", 0, 9, 1 << 20)
    assert (task.id, task.losses) == ("b1", 0)
    crew.end("new", returns)
    crew.work()
    crew.end("new", returns)
    crew.work()
    assert crew.state("b1") is State.SUCCEEDED


def test_what_nobody_knows_fails_with_the_workers_words() -> None:
    crew = Crew()
    crew.join("v", knows("a"))
    crew.join("w", knows("a"))
    crew.want("x0", name="x")
    crew.work()
    assert sorted(crew.ran) == [("v", "x0"), ("w", "x0")]
    assert crew.failure("x0").message == "this worker has no task 'x'"
    crew.ran.clear()
    crew.want("x1", name="x")
    crew.work()
    assert len(crew.ran) == 1  # it is known that none of them knows
    assert crew.state("x1") is State.FAILED


def test_others_pass_a_task_that_waits_for_who_knows_it() -> None:
    crew = deployed(slots=2)
    crew.want("b0", "b1", "b2", "b3", name="b")
    crew.want(*(f"a{n}" for n in range(20)), name="a")
    crew.work()
    assert [crew.state(f"a{n}") for n in range(20)] == [State.SUCCEEDED] * 20
    assert crew.by("new") == ["b0"]
    for n in range(1, 4):
        crew.end("new", returns)
        crew.work()
        assert crew.by("new")[-1] == f"b{n}"


def test_a_task_that_was_passed_is_the_first_when_there_is_room() -> None:
    crew = deployed()
    crew.want("b0", "b1", name="b")
    crew.work()
    crew.code["old"] = knows("a", code=runs_on)
    crew.want("a0", "a1", name="a")
    crew.work()
    crew.end("new", returns)
    crew.want("a2", name="a")
    crew.work()
    assert crew.by("new") == ["b0", "b1"]


def test_tasks_of_one_name_do_not_starve_those_of_another_that_wait_for_the_same_worker() -> None:
    crew = Crew()
    crew.join("none", knows("c"), slots=8)
    crew.want("a0", name="a")
    crew.want("b0", name="b")
    crew.work()
    crew.join("both", knows("a", "b", code=runs_on))
    crew.want("a1", "a2", "a3", name="a")
    crew.want("b1", name="b")
    for n in range(4, 30):  # more of them all the time
        crew.want(f"a{n}", name="a")
        crew.work()
        crew.end("both", returns)
    assert crew.by("both").index("b1") == 3


def test_so_many_pass_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skipped, "SKIPPED_TASKS_MAX", 5)
    crew = deployed()
    crew.want(*(f"b{n}" for n in range(9)), name="b")
    crew.work()
    crew.want("a0", name="a")
    crew.work()
    assert crew.state("a0") is State.QUEUED
    for _ in range(4):
        crew.end("new", returns)
        crew.work()
    assert crew.state("a0") is State.SUCCEEDED
    assert "a0" in crew.by("old")


def test_memory_for_what_was_passed_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skipped, "SKIPPED_BYTES_MAX", 3 * len(b"payload"))
    crew = deployed(slots=8)  # so many could be read at once
    crew.want(*(f"b{n}" for n in range(9)), name="b")
    crew.want("a0", name="a")
    crew.work()
    passed = crew.lead._dispatcher._backlogs["default"].skipped
    assert (passed.bytes_left, passed._bytes) == (0, 21)
    assert crew.state("a0") is State.QUEUED


def test_when_who_knows_it_is_gone_a_task_fails() -> None:
    crew = deployed()
    crew.want("b0", "b1", name="b")
    crew.work()
    assert crew.state("b1") is State.QUEUED
    crew.leave("new")
    del crew.code["new"]
    crew.work(2 * BEAT_MS)
    assert crew.state("b1") is State.FAILED


def test_who_may_come_back_is_waited_for() -> None:
    crew = Crew()
    crew.join("old", knows("a"))
    crew.join("new", knows("a", "b"))
    crew.want("b0", "b1", name="b")
    crew.work()
    crew.lead.workers.unreachable(b"new", crew.now)
    crew.want("b2", name="b")
    crew.work(500)
    assert crew.state("b2") is State.QUEUED
    del crew.code["new"]
    crew.work(LEASE_MS)
    assert crew.state("b2") is State.FAILED


def test_a_new_leader_waits_for_workers_that_may_say_hello() -> None:
    crew = Crew(settled=False)
    crew.join("old", knows("a"))
    crew.want("b0", name="b")
    crew.work(LEASE_MS - 500)
    assert crew.by("old") == ["b0"]
    assert crew.state("b0") is State.QUEUED
    crew.join("new", knows("a", "b"))
    crew.work()
    assert crew.state("b0") is State.SUCCEEDED


def test_a_new_leader_waits_no_longer_than_a_lease() -> None:
    crew = Crew(settled=False)
    crew.join("old", knows("a"))
    crew.want("b0", name="b")
    crew.work(LEASE_MS + 2 * BEAT_MS)
    assert crew.state("b0") is State.FAILED


def test_the_names_a_worker_does_not_know_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eligibility, "NAMES_MAX", 3)
    crew = Crew()
    crew.join("old", knows("a"))
    crew.join("new", knows("a", code=runs_on))
    crew.want("busy", name="a")
    crew.work()
    if crew.by("old"):
        crew.want("busy too", name="a")
        crew.work()
    for n in range(5):
        crew.want(f"x{n}", name=f"x{n}")
    crew.work(2_000)  # it rests after so many
    kept = crew.lead.workers.eligibility
    assert max(map(len, kept._names.values())) == 3
    assert [crew.state(f"x{n}") for n in range(5)] == [State.QUEUED] * 3 + [State.FAILED] * 2


def test_those_that_may_go_anywhere_are_placed_last() -> None:
    kept = Eligibility(lambda *_: True)
    kept.does_not_know(b"w", "b")
    specs = {name: encode_spec(Spec(name, "default")) for name in "ab"}
    tasks = [Waiting(seq, name, specs[name], b"", 1, 0) for seq, name in enumerate("aabab")]
    split = [(rule, [task.seq for task in group]) for rule, group in kept.split(tasks)]
    assert split == [(PlacementRule("b"), [2, 4]), (ANYWHERE, [0, 1, 3])]


def test_of_a_worker_that_is_gone_nothing_is_kept() -> None:
    crew = Crew()
    crew.join("w", knows("a"))
    crew.want("b", name="b")
    crew.work()
    assert crew.lead.workers.eligibility
    crew.leave("w")
    del crew.code["w"]
    crew.work(LOST_SHOWN_MS + 2 * BEAT_MS, step=BEAT_MS)
    assert not crew.lead.workers.eligibility


def test_a_worker_that_is_forgotten_leaves_nothing_behind() -> None:
    kept = Eligibility(lambda *_: True)
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
    crew = Crew()
    crew.join("bad", dies)
    crew.join("good", runs_on)
    crew.want("t0", "t1", "t2")
    crew.work(1_000)
    for _ in range(3):
        crew.end("good", returns)
        crew.work()
    assert [crew.state(f"t{n}") for n in range(3)] == [State.SUCCEEDED] * 3
    assert not crew.lead.workers.eligibility
    assert max(Counter(crew.by("bad")).values()) == 1


def test_a_task_that_was_lost_everywhere_goes_anywhere() -> None:
    crew = Crew()
    crew.join("v", dies)
    crew.join("w", dies)
    crew.want("t", max_losses=3)
    crew.work()
    assert crew.state("t") is State.LOST
    assert sorted(Counter(crew.ran).values()) == [1, 2]


def test_a_task_goes_back_to_where_it_was_lost_rather_than_to_who_does_not_know_it() -> None:
    crew = deployed()
    crew.want("b0", name="b", max_losses=2)
    crew.work()
    crew.end("new", dies)
    crew.work()
    assert crew.ran == [("new", "b0")] * 2
    crew.end("new", dies)
    crew.work()
    assert crew.state("b0") is State.LOST


def test_the_only_worker_is_given_a_lost_task_at_once_also_by_a_new_leader() -> None:
    crew = Crew(settled=False)
    crew.join("w", dies)
    crew.want("t", max_losses=3)
    crew.work()
    assert crew.state("t") is State.LOST


def test_nobody_holds_tasks_ahead_past_a_lost_one_that_waits_for_it() -> None:
    crew = Crew()
    crew.join("good", runs_on, slots=1, window=4)
    crew.want(*(f"g{n}" for n in range(5)))
    crew.work()
    crew.join("bad", dies)
    crew.want("lost")
    crew.work()
    crew.code["bad"] = runs_on
    crew.want(*(f"t{n}" for n in range(9)))
    crew.work()
    crew.ran.clear()
    for _ in range(4):
        crew.end("good", returns, 1)
        crew.work()
    assert crew.ran == []  # its slot is free once it has nothing
    crew.end("good", returns)
    crew.work()
    assert crew.by("good")[0] == "lost"


def test_only_tasks_that_were_lost_and_not_settled_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(eligibility, "LOST_MAX", 2)
    kept = Eligibility(lambda *_: True)
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
    crew = Crew()
    names = "abcd"
    known = {f"w{n}": rng.sample(names, rng.randint(1, 3)) for n in range(4)}
    for worker, some in known.items():
        code = rng.choice((returns, returns, raises))
        crew.join(worker, knows(*some, code=code), rng.randint(1, 3), rng.choice((0, 0, 5)))
    tasks: dict[str, str] = {}
    for step in range(30):
        batch = [f"{step}.{n}" for n in range(rng.choice((1, 1, 7)))]
        name = rng.choice(names)
        tasks |= dict.fromkeys(batch, name)
        crew.want(*batch, name=name, at_most_once=rng.random() < 0.2)
        if rng.random() < 0.5:
            crew.work()
    crew.work(5_000)  # some of them rest
    everybody = {name for some in known.values() for name in some}
    for task, name in tasks.items():
        failed = crew.state(task) is State.FAILED
        assert crew.state(task).final
        if failed:
            told = crew.failure(task).type
            assert told == ("ValueError" if name in everybody else "UnknownTask")
