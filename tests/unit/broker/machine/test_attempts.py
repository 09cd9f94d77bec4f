"""One owner at a time, by token; the first outcome stands."""

from collections.abc import Callable

import pytest

from raftwork.broker.machine import ClusterSettings
from raftwork.broker.machine.commands import (
    Assign,
    Fail,
    Finish,
    Lose,
    LoseSaying,
    Postpone,
    Release,
)
from raftwork.features.effects import (
    Assigned,
    AttemptEnded,
    Effect,
    NotAssigned,
    Requeued,
    Settled,
    TokenRejected,
)
from raftwork.features.upgrade import Raise
from raftwork.messages import (
    Failure,
    Loss,
    Spec,
    State,
    TimeLimitPassed,
    WorkerLost,
    decode_failure,
    encode_failure,
    encode_spec,
)
from tests.unit.broker.machine.driver import FAILURE, WORKER, Driver, spec_of

OTHER = b"incarnation of 2"


def test_assigned_tasks_run_under_growing_tokens_in_the_commands_order(driver: Driver) -> None:
    driver.enqueue("a", "b", "c")
    effects = driver.effects(Assign(WORKER, [3, 1]))
    assert effects == [Assigned(WORKER, [(1, 3, 1), (2, 1, 1)])]
    assert driver.waiting_ids() == ["b"]
    assert [driver.state(i) for i in "abc"] == [State.RUNNING, State.QUEUED, State.RUNNING]
    assert driver.counts() == (1, 2, 0, 0, 0)


@pytest.mark.parametrize("fate", ["unknown", "running", "delayed", "finished", "forgotten"])
def test_what_does_not_wait_is_not_assigned(driver: Driver, fate: str) -> None:
    driver.enqueue("first", "a", spec=spec_of(retries=1))
    seq = 2
    if fate == "unknown":
        seq = 77
    else:
        (token,) = driver.assign(2)
        if fate == "delayed":
            driver.fail(token, driver.now + 10)
        elif fate != "running":
            driver.finish(token)
            driver.tick(5_000 if fate == "forgotten" else 0)
    effects = driver.effects(Assign(OTHER, [seq, 1]))
    assert isinstance(effects[0], Assigned)
    assert [s for _, s, _ in effects[0].tasks] == [1]
    assert effects[1:] == [NotAssigned([seq])]


def test_a_task_named_twice_in_an_assign_gets_one_token(driver: Driver) -> None:
    driver.enqueue("a")
    assert driver.effects(Assign(WORKER, [1, 1])) == [
        Assigned(WORKER, [(1, 1, 1)]),
        NotAssigned([1]),
    ]


def test_the_first_outcome_stands(driver: Driver) -> None:
    token = driver.start("a")
    assert driver.finish(token, b"one") == [
        Settled(token, 1, "a", "default", State.SUCCEEDED, b"one")
    ]
    assert driver.finish(token, b"two") == [TokenRejected(token)]
    assert driver.fail(token) == [TokenRejected(token)]
    assert (driver.state("a"), driver.result("a").data) == (State.SUCCEEDED, b"one")
    assert driver.counts() == (0, 0, 1, 0, 0)


def test_a_token_twice_in_one_finish_settles_once(driver: Driver) -> None:
    token = driver.start("a")
    effects = driver.effects(Finish([(token, b"one"), (token, b"two")]))
    assert TokenRejected(token) in effects and len(effects) == 2
    assert driver.result("a").data == b"one"


@pytest.mark.parametrize("report", ["finish", "fail", "expire", "release", "lose"])
def test_an_old_token_changes_nothing(driver: Driver, report: str) -> None:
    old = driver.start("a")
    driver.release(old)
    (new,) = driver.assign(1, worker=OTHER)
    assert new > old
    before = driver.machine.digest()
    reports: dict[str, Callable[[int], list[Effect]]] = {
        "finish": driver.finish,
        "fail": driver.fail,
        "expire": driver.expire,
        "release": driver.release,
        "lose": driver.lose,
    }
    say = reports[report]
    assert say(old) == [TokenRejected(old)]
    assert say(999) == [TokenRejected(999)]
    assert driver.machine.digest() == before
    running = driver.machine.current(new)
    assert running is not None and running.worker == OTHER
    assert driver.machine.current(old) is None


def test_tokens_are_never_reused_not_even_after_a_restart(driver: Driver) -> None:
    tokens = [driver.start("a")]
    driver.finish(tokens[0])
    for task in "bc":
        driver.reopen()
        tokens.append(driver.start(task))
    assert tokens == [1, 2, 3]


# ---- failures ---------------------------------------------------------------------------------


def test_a_failure_without_retries_is_the_outcome(driver: Driver) -> None:
    token = driver.start("a")
    assert driver.fail(token, driver.now + 5) == [
        Settled(token, 1, "a", "default", State.FAILED, FAILURE)
    ]
    assert driver.result("a").data == FAILURE
    assert driver.counts() == (0, 0, 0, 1, 0)


def test_a_failed_task_waits_until_its_retry_is_due(driver: Driver) -> None:
    token = driver.start("a", spec=spec_of(retries=1))
    assert driver.fail(token, driver.now + 50) == [AttemptEnded(token, 1)]
    assert driver.state("a") is State.QUEUED
    assert driver.counts() == (1, 0, 0, 0, 0)
    assert driver.waiting_ids() == []
    assert driver.due() == driver.now + 50
    assert driver.tick(49) == []
    assert driver.tick(1) == [Requeued("default", 1)]
    (task,) = driver.waiting()
    assert (task.attempt, task.payload) == (2, b"payload")


@pytest.mark.parametrize("late", [0, 1])
def test_a_retry_that_is_due_already_waits_at_once(driver: Driver, late: int) -> None:
    token = driver.start("a", spec=spec_of(retries=1))
    assert driver.fail(token, driver.now - late) == [AttemptEnded(token, 1), Requeued("default", 1)]
    assert driver.waiting_ids() == ["a"]


def test_as_many_retries_as_the_spec_says(driver: Driver) -> None:
    driver.enqueue("a", spec=spec_of(retries=2))
    for attempt in (1, 2, 3):
        assert [w.attempt for w in driver.waiting()] == [attempt]
        (token,) = driver.assign(1)
        driver.reopen()
        driver.fail(token)
    assert driver.state("a") is State.FAILED


def test_an_expiry_counts_as_a_failure_and_says_so(driver: Driver) -> None:
    token = driver.start("a", spec=spec_of(timeout=1_500, retries=1))
    assert driver.expire(token) == [AttemptEnded(token, 1), Requeued("default", 1)]
    driver.expire(*driver.assign(1))
    failure = decode_failure(driver.result("a").data)
    assert driver.state("a") is State.FAILED
    assert failure.type == "TimeLimitExceeded" and "1500 ms" in failure.message


def test_a_final_failure_is_not_tried_again(driver: Driver) -> None:
    token = driver.start("a", spec=spec_of(retries=5))
    driver.effects(Fail(token, FAILURE, 0, final=True))
    assert driver.state("a") is State.FAILED
    driver.reopen()
    assert driver.state("a") is State.FAILED


def test_other_words_for_a_failure_make_no_other_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two releases word it differently: at level 0 they would diverge, as 0.1.0 stored words."""

    def digests(level: int) -> set[bytes]:
        made = set()
        for words in ("ran longer", "went on longer"):
            worded = Failure("T", words, "")
            for ending in (TimeLimitPassed, WorkerLost):
                monkeypatch.setattr(ending, "in_words", lambda _, worded=worded: worded)
            driver = Driver(level=level)
            driver.expire(driver.start("late", spec=spec_of(timeout=1_500)))
            driver.lose(driver.start("once", spec=spec_of(at_most_once=True)))
            made.add(driver.machine.digest())
        return made

    assert len(digests(1)) == 1
    assert len(digests(0)) == 2


def test_a_cluster_of_0_1_0_stores_words_until_its_level_is_raised() -> None:
    driver = Driver(level=0)
    driver.expire(driver.start("a", spec=spec_of(timeout=1_500)))
    text = "ran longer than its limit of 1500 ms"
    assert driver.result("a").data == encode_failure(Failure("TimeLimitExceeded", text, ""))
    driver.apply(Raise(1, "0.2.0"))
    driver.expire(driver.start("b", spec=spec_of(timeout=1_500)))
    assert driver.result("b").data == encode_failure(TimeLimitPassed(1_500))


# ---- handed back and lost ---------------------------------------------------------------------


def test_a_released_task_waits_in_its_old_place_and_nothing_is_counted(driver: Driver) -> None:
    driver.enqueue("a", "b", "c")
    tokens = driver.assign(1, 2)
    assert driver.release(tokens[1]) == [AttemptEnded(tokens[1], 2), Requeued("default", 2)]
    assert driver.waiting_ids() == ["b", "c"]
    driver.release(tokens[0])
    assert [(w.id, w.attempt, w.losses) for w in driver.waiting()] == [
        ("a", 2, 0),
        ("b", 2, 0),
        ("c", 1, 0),
    ]
    assert driver.counts() == (3, 0, 0, 0, 0)


def test_losses_are_counted_apart_from_failures_and_limited() -> None:
    driver = Driver()
    driver.enqueue("a", spec=spec_of(retries=1, max_losses=3))
    driver.fail(*driver.assign(1))
    for loss in (1, 2):
        (token,) = driver.assign(1)
        assert driver.lose(token) == [AttemptEnded(token, 1), Requeued("default", 1)]
        assert [w.losses for w in driver.waiting()] == [loss]
    (token,) = driver.assign(1)
    (effect,) = driver.effects(Lose([(token, True)], Loss("w1", signal=9)))
    assert isinstance(effect, Settled) and effect.state is State.LOST
    failure = decode_failure(driver.result("a").data)
    assert failure.type == "WorkerLost"
    assert failure.message == (
        "lost 3 times while it ran, the last time: w1 lost the process to signal 9"
    )
    assert driver.counts() == (0, 0, 0, 0, 1)


def test_what_a_task_logged_before_its_process_died_stands_in_its_outcome() -> None:
    driver = Driver(ClusterSettings(max_losses=2))
    token = driver.start("a")
    by = Loss("w1", signal=9)
    driver.effects(LoseSaying(token, by, "of the first attempt"))
    (token,) = driver.assign(1)
    driver.effects(LoseSaying(token, by, "of the last"))
    failure = decode_failure(driver.result("a").data)
    assert (failure.type, failure.log) == ("WorkerLost", "of the last")
    assert failure.message.startswith("lost 2 times")


def test_no_task_may_lose_more_workers_than_the_cluster_grants() -> None:
    driver = Driver(ClusterSettings(max_losses=1))
    (effect,) = driver.lose(driver.start("a", spec=spec_of(max_losses=50)))
    assert isinstance(effect, Settled) and effect.state is State.LOST


def test_an_unstarted_task_of_a_lost_worker_is_released() -> None:
    driver = Driver(ClusterSettings(max_losses=1))
    driver.enqueue("a")
    for _ in range(5):
        (token,) = driver.assign(1)
        assert driver.lose(token, started=False) == [AttemptEnded(token, 1), Requeued("default", 1)]
    assert [(w.attempt, w.losses) for w in driver.waiting()] == [(6, 0)]


def test_one_lose_settles_some_and_gives_back_others(driver: Driver) -> None:
    driver.enqueue("once", spec=spec_of(at_most_once=True))
    driver.enqueue("a", "b")
    tokens = driver.assign(1, 2, 3)
    effects = driver.effects(Lose([(tokens[0], True), (tokens[1], True), (tokens[2], False)]))
    assert isinstance(effects[0], Settled) and effects[0].id == "once"
    assert effects[1:] == [
        AttemptEnded(tokens[1], 2),
        Requeued("default", 2),
        AttemptEnded(tokens[2], 3),
        Requeued("default", 3),
    ]


def test_release_and_lose_tell_the_stale_from_the_current(driver: Driver) -> None:
    token = driver.start("a")
    effects: list[Effect] = [TokenRejected(9), AttemptEnded(token, 1), Requeued("default", 1)]
    assert driver.effects(Release([9, token])) == effects


# ---- at most once -----------------------------------------------------------------------------

ONCE = spec_of(at_most_once=True, retries=5)


@pytest.mark.parametrize("end", ["fail", "expire"])
def test_any_failure_of_an_at_most_once_task_is_final(driver: Driver, end: str) -> None:
    token = driver.start("a", spec=ONCE)
    (effect,) = driver.fail(token) if end == "fail" else driver.expire(token)
    assert isinstance(effect, Settled) and effect.state is State.FAILED


def test_an_at_most_once_task_is_lost_with_its_worker_once_started(driver: Driver) -> None:
    (effect,) = driver.lose(driver.start("a", spec=ONCE))
    assert isinstance(effect, Settled) and effect.state is State.LOST
    failure = decode_failure(driver.result("a").data)
    assert failure.type == "WorkerLost" and "twice" in failure.message
    assert driver.waiting_ids() == []


def test_an_at_most_once_task_that_never_started_waits_again(driver: Driver) -> None:
    token = driver.start("a", spec=ONCE)
    assert Requeued("default", 1) in driver.lose(token, started=False)
    assert Requeued("default", 1) in driver.release(*driver.assign(1))


def test_a_time_limit_is_retried_as_a_timeout_error_is(driver: Driver) -> None:
    for name, state in (("builtins.TimeoutError", State.FAILED), ("builtins.KeyError", None)):
        spec = encode_spec(Spec("t", "default", timeout=10, retries=1, no_retry_on=(name,)))
        token = driver.start(name, spec=spec)
        driver.expire(token)
        assert driver.state(name) is (state or State.QUEUED)


def test_a_task_that_resumes_keeps_its_place_and_its_counts(driver: Driver) -> None:
    token = driver.start("a")
    driver.enqueue("b")
    driver.effects(Postpone(token, 0))
    assert driver.waiting_ids() == ["a", "b"]
    (again,) = driver.assign(1)
    driver.fail(again)
    assert driver.state("a") is State.FAILED


def test_a_task_that_resumes_later_waits_until_then(driver: Driver) -> None:
    token = driver.start("a")
    driver.effects(Postpone(token, driver.machine.time + 500))
    assert driver.waiting_ids() == [] and driver.state("a") is State.QUEUED
    driver.tick(500)
    assert driver.waiting_ids() == ["a"]


def test_a_void_token_resumes_nothing(driver: Driver) -> None:
    assert driver.effects(Postpone(99, 0)) == [TokenRejected(99)]
