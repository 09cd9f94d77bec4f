"""A cancel as the machine carries it out: what waits ends, what runs is asked to end, once."""

from collections.abc import Callable

import pytest

from raftwork.broker.machine.commands import Command, Expire, Fail, Finish, Lose, Release, Tick
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.effects import CancelAsked, Done, Effect, Settled, TokenRejected
from raftwork.features.enqueue import Admit
from raftwork.messages import (
    Code,
    Extras,
    OnConflict,
    Spec,
    State,
    decode_failure,
    encode_spec,
)
from raftwork.wire import pack
from tests.unit.broker.machine.driver import FAILURE, Driver, spec_of

GRACE = 5_000
RETRIED = spec_of(retries=5)


def cancel(*ids: str, grace: int = GRACE, known: bool = False) -> CancelSome:
    return CancelSome(Scope.IDS, list(ids), "", "", grace, 0, 1 << 40, 1_000, known)


def of(
    scope: Scope, name: str = "", *, value: str = "", after: int = 0, **bounds: int
) -> CancelSome:
    upto, limit = bounds.get("upto", 1 << 40), bounds.get("limit", 1_000)
    return CancelSome(scope, [], name, value, GRACE, after, upto, limit)


def states(driver: Driver, *ids: str) -> list[State]:
    return driver.machine.states(ids)


def carry_out(driver: Driver, command: CancelSome) -> tuple[Done, list[Effect]]:
    applied = driver.apply(command)
    (reply,) = applied.replies
    assert isinstance(reply, Done)
    return reply, applied.effects


def is_clean(driver: Driver) -> None:
    """Nothing is left of any cancel, and the counters are right."""
    assert list(driver.db.execute("SELECT * FROM timer")) == []
    status = driver.machine.queue("default")
    assert (status.queued, status.running, status.scheduled, status.bytes) == (0, 0, 0, 0)
    assert list(driver.db.execute("SELECT * FROM loss")) == []
    before = driver.machine.digest()
    driver.reopen()
    assert driver.machine.digest() == before


def test_what_has_not_begun_is_cancelled_at_once_whatever_it_waits_for(driver: Driver) -> None:
    driver.enqueue("waits")
    delayed = encode_spec(Spec("module.task", "default", delay=500))
    driver.enqueue("scheduled", spec=delayed)
    driver.fail(driver.start("retried", spec=RETRIED), retry_at=driver.now + 900)
    done, effects = carry_out(driver, cancel("scheduled", "waits", "retried"))
    assert done.affected == 3
    settled = [e for e in effects if isinstance(e, Settled)]
    assert {(e.id, e.state, e.token) for e in settled} == {
        (each, State.CANCELLED, 0) for each in ("waits", "scheduled", "retried")
    }
    assert {decode_failure(e.data).type for e in settled} == {"user"}
    assert driver.machine.queue("default").cancelled == 3
    is_clean(driver)
    driver.now += 2_000
    assert driver.apply(Tick()).effects == []  # none wakes


def test_what_runs_is_asked_once_and_its_token_stays_current(driver: Driver) -> None:
    token = driver.start("a")
    done, effects = carry_out(driver, cancel("a"))
    assert (done.affected, effects) == (1, [CancelAsked(token)])
    done, effects = carry_out(driver, cancel("a"))
    assert (done.affected, effects) == (1, [])
    assert states(driver, "a") == [State.RUNNING]
    driver.finish(token)
    assert states(driver, "a") == [State.SUCCEEDED]  # it returned: no lie
    is_clean(driver)


def test_code_that_raises_is_cancelled_and_never_tried_again(driver: Driver) -> None:
    token = driver.start("a", spec=RETRIED)
    carry_out(driver, cancel("a"))
    (effect,) = driver.apply(Fail(token, FAILURE, 0)).effects
    assert isinstance(effect, Settled)
    assert (effect.state, decode_failure(effect.data).type) == (State.CANCELLED, "user")
    assert driver.machine.queue("default").failed == 0
    assert list(driver.db.execute("SELECT * FROM dead")) == []
    is_clean(driver)


def test_it_is_not_tried_again_later_either(driver: Driver) -> None:
    token = driver.start("a", spec=RETRIED)
    carry_out(driver, cancel("a"))
    driver.apply(Fail(token, FAILURE, driver.now + 600))
    assert states(driver, "a") == [State.CANCELLED]
    is_clean(driver)


def test_whatever_else_befalls_it_it_is_cancelled(driver: Driver) -> None:
    ends: dict[str, Callable[[int], Command]] = {
        "lost": lambda token: Lose([(token, True)]),
        "unstarted": lambda token: Lose([(token, False)]),
        "released": lambda token: Release([token]),
        "over its limit": lambda token: Expire(token, 0),
    }
    for id_, end in ends.items():
        token = driver.start(id_, spec=RETRIED)
        carry_out(driver, cancel(id_))
        driver.apply(end(token))
        assert states(driver, id_) == [State.CANCELLED], id_
    assert driver.machine.queue("default").cancelled == len(ends)
    is_clean(driver)


def test_at_the_end_of_the_grace_the_task_ends_and_its_token_is_void(driver: Driver) -> None:
    token = driver.start("a")
    carry_out(driver, cancel("a"))
    driver.now += GRACE - 1
    assert driver.apply(Tick()).effects == []
    assert driver.machine.due == driver.now + 1
    driver.now += 1
    (effect,) = driver.apply(Tick()).effects
    assert isinstance(effect, Settled)
    assert (effect.token, effect.state) == (token, State.CANCELLED)
    assert driver.apply(Finish([(token, b"late")])).effects == [TokenRejected(token)]
    assert states(driver, "a") == [State.CANCELLED]
    is_clean(driver)


def test_who_asks_again_can_shorten_the_grace_but_not_lengthen_it(driver: Driver) -> None:
    driver.start("a")
    carry_out(driver, cancel("a"))
    carry_out(driver, cancel("a", grace=2 * GRACE))
    assert driver.machine.due == driver.now + GRACE
    carry_out(driver, cancel("a", grace=100))
    assert driver.machine.due == driver.now + 100
    driver.now += 100
    driver.apply(Tick())
    assert states(driver, "a") == [State.CANCELLED]
    is_clean(driver)


def test_finish_and_cancel_in_one_entry_end_by_their_order(driver: Driver) -> None:
    first, second = driver.start("a"), driver.start("b")
    driver.apply(Finish([(first, b"v")]), cancel("a", "b"), Finish([(second, b"v")]))
    assert states(driver, "a", "b") == [State.SUCCEEDED, State.SUCCEEDED]
    is_clean(driver)


def test_that_it_was_asked_to_end_outlives_a_restart(driver: Driver) -> None:
    token = driver.start("a", spec=RETRIED)
    carry_out(driver, cancel("a"))
    driver.reopen()
    (run,) = driver.machine.running()
    assert run.flags
    driver.apply(Lose([(token, True)]))
    assert states(driver, "a") == [State.CANCELLED]
    is_clean(driver)


def test_what_has_its_outcome_keeps_it_and_the_only_id_must_be_known(driver: Driver) -> None:
    driver.finish(driver.start("a"))
    assert carry_out(driver, cancel("a", known=True))[0] == Done(0)
    assert carry_out(driver, cancel("a", "nobody's"))[0] == Done(0)
    refused = driver.refusal(cancel("nobody's", known=True))
    assert refused.code is Code.UNKNOWN_TASK


def test_scopes_mean_their_own_tasks_up_to_a_number(driver: Driver) -> None:
    driver.enqueue("a", spec=encode_spec(Spec("mail", "one")))
    driver.enqueue("b", spec=encode_spec(Spec("mail", "two")))
    driver.enqueue("c", spec=encode_spec(Spec("other", "two")))
    assert carry_out(driver, of(Scope.NAME, "mail", upto=1))[0] == Done(1)
    assert states(driver, *"abc") == [State.CANCELLED, State.QUEUED, State.QUEUED]
    assert carry_out(driver, of(Scope.QUEUE, "nobody's"))[0] == Done(0)
    assert carry_out(driver, of(Scope.QUEUE, "two"))[0] == Done(2)
    driver.enqueue("d")
    assert carry_out(driver, of(Scope.ALL))[0] == Done(1)


def test_a_tag_means_those_that_bear_it(driver: Driver) -> None:
    spec = spec_of()
    tags: list[list[tuple[str, str]]] = [[], [("customer", "7")], [("customer", "8")]]
    batch = pack([[each, b"", "", Extras(tags=tags[at])] for at, each in enumerate("abc")])
    driver.apply(Admit(driver.now, spec, batch))
    assert carry_out(driver, of(Scope.TAG, "customer", value="7"))[0] == Done(1)
    assert states(driver, *"abc") == [State.QUEUED, State.CANCELLED, State.QUEUED]


def test_of_those_that_bear_a_tag_one_entry_looks_at_so_many(driver: Driver) -> None:
    extras = Extras(tags=[("customer", "7")])
    for ids in ("abc", "d", "efg"):
        batch = pack([[each, b"", "", extras] for each in ids])
        driver.apply(Admit(driver.now, spec_of(), batch))
    driver.finish(driver.assign(2)[0])
    after, parts = 0, list[Done]()
    while not parts or after:
        done, _ = carry_out(driver, of(Scope.TAG, "customer", value="7", after=after, limit=2))
        parts.append(done)
        after = done.rest_after
    assert parts == [Done(1, 2), Done(2, 4), Done(2, 6), Done(1, 0)]
    is_clean(driver)


def test_one_entry_looks_at_so_many_rows_and_says_where_the_next_goes_on(driver: Driver) -> None:
    driver.enqueue(*"abcde")
    driver.finish(driver.assign(1)[0])
    rest, parts = 0, []
    while True:
        done, _ = carry_out(driver, of(Scope.ALL, after=rest, limit=2))
        parts.append(done)
        rest = done.rest_after
        if not rest:
            break
    assert parts == [Done(2, 3), Done(2, 5), Done(0, 0)]
    is_clean(driver)


@pytest.mark.parametrize(
    ("scope", "name"), [(Scope.ALL, ""), (Scope.NAME, "module.task"), (Scope.QUEUE, "default")]
)
def test_what_has_ended_is_passed_over_many_at_a_time(
    driver: Driver, scope: Scope, name: str
) -> None:
    driver.enqueue(*map(str, range(50)))
    for token in driver.assign(*range(1, 46)):
        driver.finish(token)
    driver.enqueue("other", spec=spec_of("other"))
    done, _ = carry_out(driver, of(scope, name, limit=2))
    assert done == Done(0, 20)
    done, _ = carry_out(driver, of(scope, name, limit=2, after=20))
    assert done == Done(0, 40)
    done, _ = carry_out(driver, of(scope, name, limit=2, after=40))
    assert done == Done(2, 47)
    assert driver.state("48") is State.QUEUED


def test_an_id_that_is_named_twice_ends_once(driver: Driver) -> None:
    driver.enqueue("a")
    driver.start("b")
    assert carry_out(driver, cancel("a", "b", "a", "b"))[0] == Done(2)
    assert states(driver, "a", "b") == [State.CANCELLED, State.RUNNING]


def test_a_deadline_that_passes_in_the_same_entry_leaves_no_grace_to_end(driver: Driver) -> None:
    token = driver.start("a", spec=encode_spec(Spec("module.task", "default", deadline=600)))
    carry_out(driver, cancel("a", grace=700))
    (effect,) = driver.tick(later=2_000)
    assert isinstance(effect, Settled)
    assert (effect.token, effect.state) == (token, State.CANCELLED)
    is_clean(driver)


def test_a_task_ends_together_with_the_one_that_follows_it(driver: Driver) -> None:
    """By its unique key: what is counted as blocked is not counted as scheduled first."""
    spec = encode_spec(Spec("module.task", "default", retries=3, on_conflict=OnConflict.RERUN))
    driver.apply(Admit(driver.now, spec, pack([["a", b"", "", Extras(unique="k")]])))
    (token,) = driver.assign(1)
    driver.apply(Admit(driver.now, spec, pack([["b", b"", "", Extras(unique="k")]])))
    driver.fail(token, retry_at=driver.now + 900)
    assert states(driver, "a", "b") == [State.QUEUED, State.BLOCKED]
    assert carry_out(driver, of(Scope.ALL))[0] == Done(2)
    assert driver.machine.queue("default").blocked == 0
    assert list(driver.db.execute("SELECT * FROM unique_key")) == []
    is_clean(driver)
