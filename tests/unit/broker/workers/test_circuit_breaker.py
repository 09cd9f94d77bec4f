"""Workers that keep failing: when they rest, for how long, and what brings them back."""

from random import Random

import pytest

from raftwork.broker.placement.balancers import BALANCERS
from raftwork.broker.workers.circuit_breaker import FAILURES, PAUSE_MAX_MS, PAUSE_MS, CircuitBreaker
from raftwork.broker.workers.registry import BEAT_MS
from raftwork.messages import Heartbeat, State
from tests.unit.broker.crew import Code, Crew, dies, knows, raises, returns, runs_on


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


def crew_of(slots: int = 2, window: int = 0, **codes: Code) -> Crew:
    crew = Crew()
    for name, code in codes.items():
        crew.join(name, code, slots, window)
    return crew


def test_beside_a_bad_worker_a_good_one_does_the_work() -> None:
    crew = crew_of(bad=dies, good=returns)
    for n in range(20):
        crew.want(*(f"{n}.{i}" for i in range(10)))
        crew.work(1_000)
    states = {crew.state(f"{n}.{i}") for n in range(20) for i in range(10)}
    assert states == {State.SUCCEEDED}
    assert len(crew.by("bad")) <= 10  # of 200; pauses of 1, 2, 4 and 8 s fit into the time
    reason = crew.status("bad").reason
    assert "tasks in a row were lost under it" in reason
    assert crew.status("good").reason == ""


def test_it_is_given_its_share_again_once_it_is_well() -> None:
    crew = crew_of(bad=dies, good=returns)
    crew.want(*(f"a{n}" for n in range(20)))
    crew.work()
    assert crew.status("bad").reason.startswith("rests for")
    crew.code["bad"] = returns
    crew.ran.clear()
    for n in range(50):
        crew.want(*(f"{n}.{i}" for i in range(4)))
        crew.work(50)
    assert len(crew.by("bad")) > 50
    assert crew.status("bad").reason == ""


def test_tasks_that_raise_are_neither_good_nor_bad() -> None:
    crew = crew_of(w=raises)
    crew.want(*(f"t{n}" for n in range(50)))
    crew.work()
    assert not crew.lead.workers.available()[0].breaker.is_open
    crew.code["w"] = dies
    crew.want("a", "b", max_losses=1)
    crew.work()
    crew.code["w"] = raises
    crew.want("c")
    crew.work()
    crew.code["w"] = dies
    crew.want("d", max_losses=1)
    crew.work()
    assert crew.lead.workers.available()[0].breaker.is_open  # nothing was well in between


def test_only_a_tasks_first_loss_counts() -> None:
    crew = crew_of(w=dies)
    crew.want("a", "b", max_losses=50)
    crew.work()
    assert (crew.state("a"), crew.state("b")) == (State.LOST, State.LOST)
    assert not crew.lead.workers.available()[0].breaker.is_open


def test_where_all_are_bad_tasks_wait_and_are_tried_one_at_a_time() -> None:
    crew = crew_of(v=dies, w=dies)
    crew.want(*(f"t{n}" for n in range(300)), max_losses=1)
    crew.work(120_000)
    probed = len(crew.ran)
    assert 2 * FAILURES + 2 * 4 <= probed <= 2 * FAILURES + 2 * 10
    assert {crew.state("t0"), crew.state("t299")} == {State.LOST, State.QUEUED}
    crew.code["w"] = returns
    crew.work(40_000)
    assert crew.state("t299") is State.SUCCEEDED


def test_while_it_is_tried_with_a_long_task_others_go_on() -> None:
    crew = crew_of(w=dies)
    crew.want(*(f"t{n}" for n in range(9)), max_losses=1)
    crew.work()
    crew.code["w"] = runs_on
    crew.work(1_500)
    assert len(crew.running["w"]) == 1
    crew.work(PAUSE_MS + BEAT_MS)
    assert len(crew.running["w"]) == 2


def test_on_trial_new_tasks_begin_one_at_a_time_too() -> None:
    crew = crew_of(w=dies)
    crew.want("a", "b", "c", max_losses=1)
    crew.work(1_500)
    crew.code["w"] = runs_on
    crew.want("d")
    crew.want("e")
    crew.work()
    assert len(crew.running["w"]) == 1


def test_a_trial_that_raises_is_followed_by_another_one_at_once() -> None:
    crew = crew_of(w=dies)
    crew.want(*(f"t{n}" for n in range(20)), max_losses=1)
    crew.work()
    crew.code["w"] = raises
    crew.work(1_500)
    assert crew.state("t19") is State.FAILED
    assert crew.status("w").reason.startswith("is given one task at a time")


def test_what_is_lost_and_done_by_the_same_worker_speaks_neither_for_nor_against_it() -> None:
    crew = crew_of(w=returns)
    crew.want("first")
    crew.work()
    crew.code["w"] = dies
    crew.want("a", "b", "c", max_losses=9)
    crew.work(1_500)
    assert crew.state("c") is State.LOST
    (w,) = crew.lead.workers.available()
    assert w.breaker.is_open  # that it lost them again does not clear it
    crew.code["w"] = lambda task: (dies if task.attempt == 1 else returns)(task)
    crew.want("d", max_losses=9)
    crew.work(3_000)
    assert crew.state("d") is State.SUCCEEDED
    assert (w.breaker.is_open, w.breaker.trusted) == (False, True)


@pytest.mark.parametrize("name", list(BALANCERS))
def test_a_resting_worker_gets_nothing_whatever_the_balancer(name: str) -> None:
    crew = crew_of(window=4, bad=dies, good=returns)
    balancer = BALANCERS[name](Random(1))
    crew.lead._dispatcher._balancer_of = lambda _queue: balancer
    while not crew.lead.workers._workers[b"bad".ljust(16, b".")].breaker.is_open:
        crew.want(f"t{len(crew.ran)}")
        crew.work()
    crew.ran.clear()
    for n in range(20):
        crew.want(*(f"{n}.{i}" for i in range(10)))
    crew.work()
    assert len(crew.by("good")) >= 200
    assert crew.by("bad") == []
    crew.work(2_000)
    crew.code["bad"] = runs_on
    crew.want(*(f"late {i}" for i in range(20)))
    crew.work()
    assert len(crew.by("bad")) <= 2  # on trial it holds nothing ahead


def test_tasks_that_kill_do_not_take_good_workers_away_for_long() -> None:
    """However many come in one batch: a second for each time all workers rest."""
    crew = crew_of(v=returns, w=returns)
    crew.want(*(f"before {n}" for n in range(4)))
    crew.work()
    kills = knows("poison", code=dies)
    crew.code = dict.fromkeys(("v", "w"), lambda task: (kills if "p" in task.id else returns)(task))
    crew.want(*(f"p{n}" for n in range(60)), name="poison")
    crew.want(*(f"g{n}" for n in range(20)))
    began = crew.now
    while crew.state("g19") is not State.SUCCEEDED:
        crew.work()
        assert crew.now - began < 20_000
    assert {crew.state(f"p{n}") for n in range(60)} == {State.LOST}
    assert not any(w.breaker.is_open for w in crew.lead.workers.available())


def test_a_worker_that_turned_bad_is_convicted_by_those_who_do_its_tasks() -> None:
    crew = crew_of(bad=returns, good=returns)
    crew.want(*(f"t{n}" for n in range(8)))
    crew.work()
    assert crew.by("bad")
    crew.code["bad"] = dies
    for n in range(40):
        crew.want(*(f"{n}.{i}" for i in range(10)))
        crew.work(1_000)
    (bad,) = [w for w in crew.lead.workers.available() if w.name == "bad"]
    assert bad.breaker.pause >= 8_000


def test_a_batch_of_tasks_that_nobody_knows_makes_nobody_rest() -> None:
    crew = crew_of(v=knows("a"), w=knows("a"))
    for n in range(20):
        crew.want(f"t{n}", name=f"name {n}")
        crew.work()
    assert {crew.state(f"t{n}") for n in range(20)} == {State.FAILED}
    assert not any(w.breaker.is_open for w in crew.lead.workers.available())
    assert crew.status("v").reason == ""


def test_under_a_new_leader_what_perhaps_nobody_knows_is_no_failure() -> None:
    crew = Crew(settled=False)
    crew.join("w", knows("a"), slots=4)
    for n in range(FAILURES):
        crew.want(f"x{n}", name=f"x{n}")
    crew.work(200)
    assert sorted(crew.by("w")) == ["x0", "x1", "x2"]  # they wait for who may know them
    crew.want("a0", name="a")
    crew.work()
    assert crew.state("a0") is State.SUCCEEDED


def test_a_worker_that_does_not_know_what_others_do_rests_and_says_so() -> None:
    crew = crew_of(old=knows("a"), new=knows("a", "w", "x", "y", "z", code=runs_on))
    for name in "wxyz":
        crew.want(*(f"{name}{n}" for n in range(3)), name=name)
    crew.work()
    reason = crew.status("old").reason
    assert "3 tasks in a row were unknown to it; does not know " in reason
    crew.want("a0", name="a")
    crew.work(6_000)
    assert crew.state("a0") is State.SUCCEEDED


def test_an_overloaded_worker_does_the_work_of_one_that_rests() -> None:
    crew = crew_of(bad=dies, full=returns)
    told = Heartbeat(1, 0.5, 1.0, 0.0, 0, 0, False, 0.5)
    assert crew.lead.workers.heartbeat(b"full", told, crew.now)
    crew.work(2 * BEAT_MS)
    crew.want(*(f"t{n}" for n in range(8)))
    crew.work(2 * BEAT_MS)
    assert {crew.state(f"t{n}") for n in range(8)} == {State.SUCCEEDED}
    assert len(crew.by("full")) == 8


def test_an_overloaded_worker_is_not_spared_what_no_fit_one_may_take() -> None:
    crew = crew_of(fit=knows("a"), full=knows("a", "b"))
    told = Heartbeat(1, 0.5, 1.0, 0.0, 0, 0, False, 0.5)
    assert crew.lead.workers.heartbeat(b"full", told, crew.now)
    crew.work(2 * BEAT_MS)
    crew.want(*(f"b{n}" for n in range(4)), name="b")
    crew.want(*(f"a{n}" for n in range(4)), name="a")
    crew.work(2 * BEAT_MS)
    assert {crew.state(f"{kind}{n}") for kind in "ab" for n in range(4)} == {State.SUCCEEDED}
    assert sorted(crew.by("full")) == ["b0", "b1", "b2", "b3"]
    crew.code["fit"] = dies
    crew.want("c", name="a")
    crew.work(2 * BEAT_MS)
    assert (crew.by("fit")[-1], crew.by("full")[-1]) == ("c", "c")  # it was lost under the fit one
    assert crew.state("c") is State.SUCCEEDED


def test_a_lost_task_does_not_wait_for_a_worker_whose_pool_does_not_start() -> None:
    crew = crew_of(w=dies)
    crew.join("v", returns, slots=0)
    crew.want("t")
    crew.work()
    assert crew.by("w")[:2] == ["t", "t"]


def test_a_worker_whose_pool_does_not_start_gets_nothing_and_says_so() -> None:
    crew = crew_of(slots=0, window=4, w=returns)
    crew.want("t")
    crew.work(500)
    assert crew.ran == []
    status = crew.status("w")
    assert (status.slots, status.state) == (0, "active")
    assert status.reason.startswith("nothing can run there: its processes do not start")
