"""Workers that keep failing: when they rest, for how long, and what brings them back."""

from random import Random

import pytest

from raftwork.broker.placement.balancers import BALANCERS
from raftwork.broker.workers.circuit_breaker import FAILURES, PAUSE_MAX_MS, PAUSE_MS, CircuitBreaker
from raftwork.broker.workers.registry import BEAT_MS
from raftwork.messages import Heartbeat, State
from tests.unit.broker.scripted_workers import (
    Code,
    ScriptedWorkers,
    dies,
    knows,
    raises,
    returns,
    runs_on,
)


def lose(breaker: CircuitBreaker, now: int, times: int = 1, rng: Random | None = None) -> None:
    for _ in range(times):
        breaker.failed(now, rng or Random(1), unknown=False)


def rest(breaker: CircuitBreaker, now: int, rng: Random) -> int:
    """It fails on trial, or for the first time; gives the time until the next trial."""
    lose(breaker, now, 1 if breaker.is_open else FAILURES, rng)
    assert (breaker.is_open, breaker.allowance) == (True, 0)
    wait = 1
    while not breaker.pass_time(now + wait):
        wait += 1
    breaker.took(1)
    return wait


# ---- one worker's breaker ---------------------------------------------------------------------


def test_it_rests_after_so_many_failures_in_a_row() -> None:
    breaker = CircuitBreaker()
    lose(breaker, 0, FAILURES - 1)
    breaker.succeeded()
    lose(breaker, 0, FAILURES - 1)
    assert breaker.allowance > 1 << 20
    lose(breaker, 0)
    assert (breaker.is_open, breaker.allowance) == (True, 0)


def test_pauses_double_up_to_a_bound_and_vary() -> None:
    breaker, rng, now, waits = CircuitBreaker(), Random(3), 0, list[int]()
    for _ in range(8):
        waits.append(rest(breaker, now, rng))
        now += waits[-1]
    plain = [min(PAUSE_MS << n, PAUSE_MAX_MS) for n in range(8)]
    assert all(p <= w <= p + p // 4 for p, w in zip(plain, waits, strict=True))
    assert len({w / p for p, w in zip(plain, waits, strict=True)}) > 4


def test_a_success_brings_it_back_and_the_next_pause_is_short_again() -> None:
    breaker, rng = CircuitBreaker(), Random(3)
    now = sum(rest(breaker, 0, rng) for _ in range(1))
    now += rest(breaker, now, rng)
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.allowance > 1 << 20
    assert rest(breaker, now, rng) <= PAUSE_MS * 1.25


def test_what_it_was_given_before_its_pause_does_not_lengthen_it() -> None:
    breaker = CircuitBreaker()
    lose(breaker, 0, FAILURES + 5)
    assert breaker.pause == PAUSE_MS
    assert breaker.lost == FAILURES


def test_a_trial_that_runs_on_is_followed_by_another_one_after_the_pause() -> None:
    breaker = CircuitBreaker()
    now = rest(breaker, 0, Random(1))
    assert breaker.allowance == 0
    assert not breaker.pass_time(now + PAUSE_MS - 1)
    assert breaker.pass_time(now + PAUSE_MS)
    assert breaker.allowance == 1


def test_a_trial_that_proves_nothing_is_followed_by_another_one_at_once() -> None:
    breaker = CircuitBreaker()
    rest(breaker, 0, Random(1))
    breaker.ended()
    assert breaker.allowance == 1
    lose(breaker, 9_000)
    breaker.ended()  # what it had beside
    assert breaker.allowance == 0


def test_pauses_of_one_that_proved_itself_do_not_grow_until_it_is_convicted() -> None:
    breaker, rng, now = CircuitBreaker(), Random(3), 0
    breaker.succeeded()
    for _ in range(4):
        wait = rest(breaker, now, rng)
        assert wait <= PAUSE_MS * 1.25
        now += wait
    breaker.found_faulty()
    assert rest(breaker, now, rng) >= 2 * PAUSE_MS


def test_a_failure_that_was_none_is_taken_back() -> None:
    breaker = CircuitBreaker()
    lose(breaker, 0, FAILURES)
    breaker.exonerated(unknown=True)  # none was of that kind
    assert breaker.is_open
    breaker.exonerated(unknown=False)
    assert (breaker.is_open, breaker.lost) == (False, FAILURES - 1)


def test_the_reason_says_for_how_long_and_why() -> None:
    breaker = CircuitBreaker()
    assert breaker.reason(0) == ""
    lose(breaker, 0, FAILURES)
    assert breaker.reason(0).endswith("s: 3 tasks in a row were lost under it")
    assert breaker.reason(0).startswith(("rests for 1 s", "rests for 2 s"))
    breaker.pass_time(5_000)
    said = "is given one task at a time: 3 tasks in a row were lost under it"
    assert breaker.reason(5_000) == said
    breaker.took(1)
    breaker.failed(5_000, Random(1), unknown=True)
    assert "4 tasks in a row were lost under it or unknown to it" in breaker.reason(5_000)
    stranger = CircuitBreaker()
    for _ in range(FAILURES):
        stranger.failed(0, Random(1), unknown=True)
    assert "3 tasks in a row were unknown to it" in stranger.reason(0)


# ---- among others -----------------------------------------------------------------------------


def crew_of(slots: int = 2, window: int = 0, **codes: Code) -> ScriptedWorkers:
    harness = ScriptedWorkers()
    for name, code in codes.items():
        harness.join(name, code, slots, window)
    return harness


def test_beside_a_bad_worker_a_good_one_does_the_work() -> None:
    harness = crew_of(bad=dies, good=returns)
    for n in range(20):
        harness.want(*(f"{n}.{i}" for i in range(10)))
        harness.work(1_000)
    states = {harness.state(f"{n}.{i}") for n in range(20) for i in range(10)}
    assert states == {State.SUCCEEDED}
    assert len(harness.by("bad")) <= 10  # of 200; pauses of 1, 2, 4 and 8 s fit into the time
    reason = harness.status("bad").reason
    assert "tasks in a row were lost under it" in reason
    assert harness.status("good").reason == ""


def test_it_is_given_its_share_again_once_it_is_well() -> None:
    harness = crew_of(bad=dies, good=returns)
    harness.want(*(f"a{n}" for n in range(20)))
    harness.work()
    assert harness.status("bad").reason.startswith("rests for")
    harness.code["bad"] = returns
    harness.ran.clear()
    for n in range(50):
        harness.want(*(f"{n}.{i}" for i in range(4)))
        harness.work(50)
    assert len(harness.by("bad")) > 50
    assert harness.status("bad").reason == ""


def test_tasks_that_raise_are_neither_good_nor_bad() -> None:
    harness = crew_of(w=raises)
    harness.want(*(f"t{n}" for n in range(50)))
    harness.work()
    assert not harness.lead.workers.available()[0].breaker.is_open
    harness.code["w"] = dies
    harness.want("a", "b", max_losses=1)
    harness.work()
    harness.code["w"] = raises
    harness.want("c")
    harness.work()
    harness.code["w"] = dies
    harness.want("d", max_losses=1)
    harness.work()
    assert harness.lead.workers.available()[0].breaker.is_open  # nothing was well in between


def test_only_a_tasks_first_loss_counts() -> None:
    harness = crew_of(w=dies)
    harness.want("a", "b", max_losses=50)
    harness.work()
    assert (harness.state("a"), harness.state("b")) == (State.LOST, State.LOST)
    assert not harness.lead.workers.available()[0].breaker.is_open


def test_where_all_are_bad_tasks_wait_and_are_tried_one_at_a_time() -> None:
    harness = crew_of(v=dies, w=dies)
    harness.want(*(f"t{n}" for n in range(300)), max_losses=1)
    harness.work(120_000)
    probed = len(harness.ran)
    assert 2 * FAILURES + 2 * 4 <= probed <= 2 * FAILURES + 2 * 10
    assert {harness.state("t0"), harness.state("t299")} == {State.LOST, State.QUEUED}
    harness.code["w"] = returns
    harness.work(40_000)
    assert harness.state("t299") is State.SUCCEEDED


def test_while_it_is_tried_with_a_long_task_others_go_on() -> None:
    harness = crew_of(w=dies)
    harness.want(*(f"t{n}" for n in range(9)), max_losses=1)
    harness.work()
    harness.code["w"] = runs_on
    harness.work(1_500)
    assert len(harness.running["w"]) == 1
    harness.work(PAUSE_MS + BEAT_MS)
    assert len(harness.running["w"]) == 2


def test_on_trial_new_tasks_begin_one_at_a_time_too() -> None:
    harness = crew_of(w=dies)
    harness.want("a", "b", "c", max_losses=1)
    harness.work(1_500)
    harness.code["w"] = runs_on
    harness.want("d")
    harness.want("e")
    harness.work()
    assert len(harness.running["w"]) == 1


def test_a_trial_that_raises_is_followed_by_another_one_at_once() -> None:
    harness = crew_of(w=dies)
    harness.want(*(f"t{n}" for n in range(20)), max_losses=1)
    harness.work()
    harness.code["w"] = raises
    harness.work(1_500)
    assert harness.state("t19") is State.FAILED
    assert harness.status("w").reason.startswith("is given one task at a time")


def test_what_is_lost_and_done_by_the_same_worker_speaks_neither_for_nor_against_it() -> None:
    harness = crew_of(w=returns)
    harness.want("first")
    harness.work()
    harness.code["w"] = dies
    harness.want("a", "b", "c", max_losses=9)
    harness.work(1_500)
    assert harness.state("c") is State.LOST
    (w,) = harness.lead.workers.available()
    assert w.breaker.is_open  # that it lost them again does not clear it
    harness.code["w"] = lambda task: (dies if task.attempt == 1 else returns)(task)
    harness.want("d", max_losses=9)
    harness.work(3_000)
    assert harness.state("d") is State.SUCCEEDED
    assert (w.breaker.is_open, w.breaker.trusted) == (False, True)


@pytest.mark.parametrize("name", list(BALANCERS))
def test_a_resting_worker_gets_nothing_whatever_the_balancer(name: str) -> None:
    harness = crew_of(window=4, bad=dies, good=returns)
    balancer = BALANCERS[name](Random(1))
    harness.lead._dispatcher._balancer_of = lambda _queue: balancer
    while not harness.lead.workers._workers[b"bad".ljust(16, b".")].breaker.is_open:
        harness.want(f"t{len(harness.ran)}")
        harness.work()
    harness.ran.clear()
    for n in range(20):
        harness.want(*(f"{n}.{i}" for i in range(10)))
    harness.work()
    assert len(harness.by("good")) >= 200
    assert harness.by("bad") == []
    harness.work(2_000)
    harness.code["bad"] = runs_on
    harness.want(*(f"late {i}" for i in range(20)))
    harness.work()
    assert len(harness.by("bad")) <= 2  # on trial it holds nothing ahead


def test_tasks_that_kill_do_not_take_good_workers_away_for_long() -> None:
    """However many come in one batch: a second for each time all workers rest."""
    harness = crew_of(v=returns, w=returns)
    harness.want(*(f"before {n}" for n in range(4)))
    harness.work()
    kills = knows("poison", code=dies)
    harness.code = dict.fromkeys(
        ("v", "w"), lambda task: (kills if "p" in task.id else returns)(task)
    )
    harness.want(*(f"p{n}" for n in range(60)), name="poison")
    harness.want(*(f"g{n}" for n in range(20)))
    began = harness.now
    while harness.state("g19") is not State.SUCCEEDED:
        harness.work()
        assert harness.now - began < 20_000
    assert {harness.state(f"p{n}") for n in range(60)} == {State.LOST}
    assert not any(w.breaker.is_open for w in harness.lead.workers.available())


def test_a_worker_that_turned_bad_is_convicted_by_those_who_do_its_tasks() -> None:
    harness = crew_of(bad=returns, good=returns)
    harness.want(*(f"t{n}" for n in range(8)))
    harness.work()
    assert harness.by("bad")
    harness.code["bad"] = dies
    for n in range(40):
        harness.want(*(f"{n}.{i}" for i in range(10)))
        harness.work(1_000)
    (bad,) = [w for w in harness.lead.workers.available() if w.name == "bad"]
    assert bad.breaker.pause >= 8_000


def test_a_batch_of_tasks_that_nobody_knows_makes_nobody_rest() -> None:
    harness = crew_of(v=knows("a"), w=knows("a"))
    for n in range(20):
        harness.want(f"t{n}", name=f"name {n}")
        harness.work()
    assert {harness.state(f"t{n}") for n in range(20)} == {State.FAILED}
    assert not any(w.breaker.is_open for w in harness.lead.workers.available())
    assert harness.status("v").reason == ""


def test_under_a_new_leader_what_perhaps_nobody_knows_is_no_failure() -> None:
    harness = ScriptedWorkers(settled=False)
    harness.join("w", knows("a"), slots=4)
    for n in range(FAILURES):
        harness.want(f"x{n}", name=f"x{n}")
    harness.work(200)
    assert sorted(harness.by("w")) == ["x0", "x1", "x2"]  # they wait for who may know them
    harness.want("a0", name="a")
    harness.work()
    assert harness.state("a0") is State.SUCCEEDED


def test_a_worker_that_does_not_know_what_others_do_rests_and_says_so() -> None:
    harness = crew_of(old=knows("a"), new=knows("a", "w", "x", "y", "z", code=runs_on))
    for name in "wxyz":
        harness.want(*(f"{name}{n}" for n in range(3)), name=name)
    harness.work()
    reason = harness.status("old").reason
    assert "3 tasks in a row were unknown to it; does not know " in reason
    harness.want("a0", name="a")
    harness.work(6_000)
    assert harness.state("a0") is State.SUCCEEDED


def test_an_overloaded_worker_does_the_work_of_one_that_rests() -> None:
    harness = crew_of(bad=dies, full=returns)
    told = Heartbeat(1, 0.5, 1.0, 0.0, 0, 0, False, 0.5)
    assert harness.lead.workers.heartbeat(b"full", told, harness.now)
    harness.work(2 * BEAT_MS)
    harness.want(*(f"t{n}" for n in range(8)))
    harness.work(2 * BEAT_MS)
    assert {harness.state(f"t{n}") for n in range(8)} == {State.SUCCEEDED}
    assert len(harness.by("full")) == 8


def test_an_overloaded_worker_is_not_spared_what_no_fit_one_may_take() -> None:
    harness = crew_of(fit=knows("a"), full=knows("a", "b"))
    told = Heartbeat(1, 0.5, 1.0, 0.0, 0, 0, False, 0.5)
    assert harness.lead.workers.heartbeat(b"full", told, harness.now)
    harness.work(2 * BEAT_MS)
    harness.want(*(f"b{n}" for n in range(4)), name="b")
    harness.want(*(f"a{n}" for n in range(4)), name="a")
    harness.work(2 * BEAT_MS)
    assert {harness.state(f"{kind}{n}") for kind in "ab" for n in range(4)} == {State.SUCCEEDED}
    assert sorted(harness.by("full")) == ["b0", "b1", "b2", "b3"]
    harness.code["fit"] = dies
    harness.want("c", name="a")
    harness.work(2 * BEAT_MS)
    assert (harness.by("fit")[-1], harness.by("full")[-1]) == (
        "c",
        "c",
    )  # it was lost under the fit one
    assert harness.state("c") is State.SUCCEEDED


def test_a_lost_task_does_not_wait_for_a_worker_whose_pool_does_not_start() -> None:
    harness = crew_of(w=dies)
    harness.join("v", returns, slots=0)
    harness.want("t")
    harness.work()
    assert harness.by("w")[:2] == ["t", "t"]


def test_a_worker_whose_pool_does_not_start_gets_nothing_and_says_so() -> None:
    harness = crew_of(slots=0, window=4, w=returns)
    harness.want("t")
    harness.work(500)
    assert harness.ran == []
    status = harness.status("w")
    assert (status.slots, status.state) == (0, "active")
    assert status.reason.startswith("nothing can run there: its processes do not start")
