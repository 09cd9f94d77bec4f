"""Unique keys on the machine: whose they are, when they go, and what each policy does."""

import pytest

from raftwork.broker.machine import ClusterSettings
from raftwork.broker.machine.commands import Finish, Grew, Lose, Release
from raftwork.features import unique_keys
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.effects import Applied, Done, QueuedInLane, Rejected, Replaced
from raftwork.features.enqueue import Admit
from raftwork.features.flow_graph import Graph, Node, encode_graph
from raftwork.features.free_key import EndPeriod
from raftwork.features.purge_queue import DropWaiting
from raftwork.features.reschedule import MoveTo
from raftwork.features.task_batch import AT_MAX_MS
from raftwork.messages import Code, Extras, OnConflict, Spec, State, encode_spec
from raftwork.wire import pack
from tests.unit.broker.machine.driver import FAILURE, Driver


@pytest.fixture
def driver() -> Driver:
    return Driver()


def spec_of(name: str = "module.task", queue: str = "default", **options: object) -> bytes:
    return encode_spec(Spec(name, queue, result_ttl=1_000, **options))  # type: ignore[arg-type]


def put(
    driver: Driver,
    *tasks: str | tuple[str, str, bytes],
    spec: bytes = spec_of(),
    created: int | None = None,
) -> Applied:
    """Enqueue tasks: an id with the key "k" and the payload of its own id, or all three."""
    rows = [(each, "k", each.encode()) if isinstance(each, str) else each for each in tasks]
    packed = pack([(id_, payload, "", Extras(unique=key)) for id_, key, payload in rows])
    return driver.apply(Admit(driver.now if created is None else created, spec, packed))


def existing(applied: Applied) -> list[tuple[int, str]]:
    (reply,) = applied.replies
    assert isinstance(reply, Done), reply
    return list(reply.existing)


def start(driver: Driver, id_: str) -> int:
    (task,) = [task for task in driver.waiting() if task.id == id_]
    return driver.assign(task.seq)[0]


def body(driver: Driver, id_: str) -> bytes:
    ((payload,),) = driver.db.execute("SELECT body FROM task WHERE id = ?", (id_,))
    return bytes(payload)


def keys(driver: Driver) -> int:
    ((count,),) = driver.db.execute("SELECT count(*) FROM unique_key")
    assert driver.machine.state.keys == count
    return int(count)


RERUN = spec_of(on_conflict=OnConflict.RERUN)
REPLACE = spec_of(on_conflict=OnConflict.REPLACE)
RAISE = spec_of(on_conflict=OnConflict.RAISE)
DEBOUNCED = spec_of(debounce=100, max_wait=250)


def test_one_unfinished_task_of_a_key_and_the_other_is_named(driver: Driver) -> None:
    assert existing(put(driver, "a")) == []
    assert existing(put(driver, "b")) == [(0, "a")]
    assert driver.state("b") is State.UNKNOWN
    assert existing(put(driver, ("c", "other", b""))) == []
    assert driver.waiting_ids() == ["a", "c"]


def test_a_key_is_for_tasks_of_one_name(driver: Driver) -> None:
    put(driver, "a")
    assert existing(put(driver, "b", spec=spec_of("module.other"))) == []


@pytest.mark.parametrize("conflict", list(OnConflict))
def test_a_key_is_for_tasks_of_one_queue_and_nothing_is_told_of_another(
    driver: Driver, conflict: OnConflict
) -> None:
    """Else a key that may use one queue could read and replace what is in another."""
    put(driver, "a", spec=spec_of(period=500, on_conflict=conflict))
    there = spec_of(queue="there", period=500, on_conflict=conflict)
    assert existing(put(driver, "b", spec=there)) == []
    assert (body(driver, "a"), body(driver, "b")) == (b"a", b"b")
    assert keys(driver) == 2
    driver.finish(start(driver, "a"))
    driver.tick(later=500)
    assert keys(driver) == 1
    assert existing(put(driver, "c", spec=spec_of(queue="there"))) == [(0, "b")]


def test_a_task_is_no_conflict_for_itself(driver: Driver) -> None:
    put(driver, "a", spec=RAISE)
    assert existing(put(driver, "a", spec=RAISE)) == []
    (reply,) = put(driver, ("a", "k", b"other"), spec=RAISE).replies
    assert isinstance(reply, Rejected)
    assert reply.code is Code.PROTOCOL


@pytest.mark.parametrize("how", ["succeeded", "failed", "lost", "purged"])
def test_the_key_goes_with_the_outcome_whatever_it_is(driver: Driver, how: str) -> None:
    put(driver, "a", spec=spec_of(max_losses=1))
    match how:
        case "succeeded":
            driver.finish(start(driver, "a"))
        case "failed":
            driver.fail(start(driver, "a"))
        case "lost":
            driver.lose(start(driver, "a"))
        case _:
            driver.apply(DropWaiting("default", 99, 9))
    assert keys(driver) == 0
    assert existing(put(driver, "b")) == []


def test_in_one_entry_the_outcome_frees_the_key_for_what_comes_after_it(driver: Driver) -> None:
    put(driver, "a")
    token = start(driver, "a")
    packed = pack([("b", b"", "", Extras(unique="k"))])
    before = Admit(driver.now, spec_of(), packed)
    done, late = driver.apply(Finish([(token, b"")]), before).replies
    assert (done, late) == (Done(), Done())
    assert driver.waiting_ids() == ["b"]


def test_retries_losses_and_releases_keep_it(driver: Driver) -> None:
    put(driver, "a", spec=spec_of(retries=5, max_losses=9))
    driver.fail(start(driver, "a"), retry_at=driver.now + 100)
    assert existing(put(driver, "b")) == [(0, "a")]
    driver.tick(later=100)
    driver.lose(start(driver, "a"))
    assert existing(put(driver, "b")) == [(0, "a")]
    driver.release(start(driver, "a"))
    driver.reopen()
    assert existing(put(driver, "b")) == [(0, "a")]


def test_until_started_it_goes_with_the_first_hand_out(driver: Driver) -> None:
    spec = spec_of(until_started=True, retries=5)
    put(driver, "a", spec=spec)
    assert existing(put(driver, "b", spec=spec)) == [(0, "a")]
    token = start(driver, "a")
    assert existing(put(driver, "b", spec=spec)) == []
    driver.fail(token, retry_at=driver.now)  # a retry has started: it needs no key
    assert existing(put(driver, "c", spec=spec)) == [(0, "b")]
    driver.finish(start(driver, "a"))
    assert existing(put(driver, "c", spec=spec)) == [(0, "b")]


def test_until_started_means_the_first_hand_out_also_of_what_comes_back_unstarted(
    driver: Driver,
) -> None:
    """The leader does not know when code begins: it learns it with the outcome."""
    spec = spec_of(until_started=True)
    put(driver, "a", spec=spec)
    driver.release(start(driver, "a"))
    assert existing(put(driver, "b", spec=spec)) == []
    assert driver.waiting_ids() == ["a", "b"]


@pytest.mark.parametrize("back", ["released", "worker lost"])
def test_what_a_worker_hands_back_unstarted_has_not_begun(driver: Driver, back: str) -> None:
    put(driver, "a")
    for _ in range(2):
        token = start(driver, "a")
        driver.apply(Release([token]) if back == "released" else Lose([(token, False)]))
    driver.reopen()
    assert existing(put(driver, "b", spec=REPLACE)) == [(0, "a")]
    assert body(driver, "a") == b"b"
    assert existing(put(driver, "c", spec=RERUN)) == [(0, "a")]
    driver.lose(start(driver, "a"))
    assert existing(put(driver, "d", spec=REPLACE)) == []  # it follows


def test_who_follows_has_the_last_arguments_though_the_owner_comes_back_unstarted(
    driver: Driver,
) -> None:
    put(driver, "a")
    token = start(driver, "a")
    put(driver, "b", spec=REPLACE)
    driver.release(token)
    assert existing(put(driver, "c", spec=REPLACE)) == [(0, "b")]
    assert (body(driver, "a"), body(driver, "b")) == (b"a", b"c")


def test_what_was_replaced_by_other_tasks_has_begun(driver: Driver) -> None:
    """Its row has no code any more: what it would be called with is not to be overwritten."""
    put(driver, "a")
    graph = encode_graph(Graph([spec_of()], [Node(1, b"", [], "r"), Node(0, pack(None), [])]))
    driver.apply(Grew(start(driver, "a"), b"", b"", graph, driver.now))
    assert driver.state("a") is State.BLOCKED
    before = body(driver, "a")
    assert existing(put(driver, "b", spec=REPLACE)) == []
    assert body(driver, "a") == before


def free(driver: Driver, key: str = "k") -> int:
    (reply,) = driver.apply(EndPeriod("default", "module.task", key)).replies
    assert isinstance(reply, Done)
    return reply.affected


def test_a_key_that_its_period_alone_keeps_is_freed(driver: Driver) -> None:
    period = spec_of(period=500)
    put(driver, "a", spec=period)
    driver.finish(start(driver, "a"))
    assert existing(put(driver, "b", spec=period)) == [(0, "a")]
    assert free(driver) == 1
    assert keys(driver) == 0
    assert [free(driver), free(driver, "unheard")] == [0, 0]
    assert existing(put(driver, "b", spec=period)) == []
    driver.tick(later=499)  # the first one's timer has no say any more
    assert existing(put(driver, "c", spec=period)) == [(0, "b")]
    driver.finish(start(driver, "b"))
    assert existing(put(driver, "c", spec=period)) == [(0, "b")]
    driver.tick(later=1)
    assert keys(driver) == 0


def test_a_task_keeps_its_key_when_that_is_freed_and_it_goes_with_the_outcome(
    driver: Driver,
) -> None:
    put(driver, "a", spec=spec_of(period=500))
    assert free(driver) == 0
    assert existing(put(driver, "b")) == [(0, "a")]
    driver.finish(start(driver, "a"))
    assert keys(driver) == 0


def test_raise_stores_nothing_of_the_batch(driver: Driver) -> None:
    put(driver, "a")
    digest = driver.machine.digest()
    applied = put(driver, ("x", "free", b""), "b", spec=RAISE)
    assert existing(applied) == [(1, "a")]
    assert applied.effects == []
    assert driver.machine.digest() == digest
    assert existing(put(driver, ("x", "f", b""), ("y", "f", b""), spec=RAISE)) == [(1, "x")]
    assert driver.machine.digest() == digest


def test_in_a_batch_the_first_wins(driver: Driver) -> None:
    applied = put(driver, "a", "b", ("c", "other", b""), "d")
    assert existing(applied) == [(1, "a"), (3, "a")]
    assert driver.waiting_ids() == ["a", "c"]


def test_in_a_batch_the_last_arguments_stay(driver: Driver) -> None:
    assert existing(put(driver, "a", "b", "c", spec=REPLACE)) == [(1, "a"), (2, "a")]
    assert body(driver, "a") == b"c"
    assert driver.waiting_ids() == ["a"]


def test_replace_gives_a_waiting_task_other_arguments_under_its_id(driver: Driver) -> None:
    put(driver, "a", spec=REPLACE)
    applied = put(driver, ("b", "k", b"longer than before"), spec=REPLACE)
    assert existing(applied) == [(0, "a")]
    assert applied.effects == [Replaced("default", 1, b"longer than before")]
    assert body(driver, "a") == b"longer than before"
    assert driver.machine.queue("default").bytes == len(b"longer than before")


def test_who_asks_again_gets_the_same_answer_and_replaces_nothing_twice(driver: Driver) -> None:
    put(driver, "a", spec=REPLACE)
    put(driver, "b", spec=REPLACE)
    put(driver, "c", spec=REPLACE)
    assert existing(put(driver, "b", spec=REPLACE)) == [(0, "a")]
    assert body(driver, "a") == b"c"
    driver.finish(start(driver, "a"))
    assert existing(put(driver, "b", spec=REPLACE)) == [(0, "a")]  # and does not run again
    assert driver.waiting_ids() == []


@pytest.mark.parametrize("spec", [RERUN, REPLACE])
def test_one_follows_what_runs_and_no_more_than_one(driver: Driver, spec: bytes) -> None:
    put(driver, "a", spec=spec)
    token = start(driver, "a")
    assert existing(put(driver, "b", spec=spec)) == []
    assert driver.state("b") is State.BLOCKED
    assert existing(put(driver, "c", spec=spec)) == [(0, "b")]
    assert body(driver, "b") == (b"c" if spec == REPLACE else b"b")
    assert existing(put(driver, "d")) == [(0, "a")]
    driver.finish(token)
    driver.tick()
    assert driver.waiting_ids() == ["b"]
    assert driver.machine.queue("default").blocked == 0
    assert existing(put(driver, "e")) == [(0, "b")]
    driver.finish(start(driver, "b"))
    assert keys(driver) == 0


def test_rerun_of_what_has_not_begun_is_that(driver: Driver) -> None:
    put(driver, "a", spec=RERUN)
    assert existing(put(driver, "b", spec=RERUN)) == [(0, "a")]
    assert body(driver, "a") == b"a"


def test_a_task_between_two_attempts_has_begun(driver: Driver) -> None:
    spec = spec_of(on_conflict=OnConflict.REPLACE, retries=5)
    put(driver, "a", spec=spec)
    driver.fail(start(driver, "a"), retry_at=driver.now)
    assert existing(put(driver, "b", spec=spec)) == []
    assert body(driver, "a") == b"a"
    assert driver.state("b") is State.BLOCKED


def test_the_period_keeps_it_after_the_outcome(driver: Driver) -> None:
    spec = spec_of(period=10_000)
    put(driver, "a", spec=spec)
    driver.finish(start(driver, "a"))
    driver.now += 9_999
    assert existing(put(driver, "b", spec=spec)) == [(0, "a")]
    assert existing(put(driver, "b", spec=RAISE)) == [(0, "a")]
    driver.now += 1
    assert existing(put(driver, "b", spec=spec)) == []


def test_the_period_drops_the_key_by_itself(driver: Driver) -> None:
    put(driver, "a", spec=spec_of(period=10_000))
    driver.finish(start(driver, "a"))
    assert keys(driver) == 1
    driver.tick(later=10_000)
    assert keys(driver) == 0
    assert list(driver.db.execute("SELECT * FROM timer")) == []


def test_a_period_ends_while_its_task_runs_on(driver: Driver) -> None:
    spec = spec_of(period=100)
    put(driver, "a", spec=spec)
    token = start(driver, "a")
    driver.tick(later=500)
    assert existing(put(driver, "b", spec=spec)) == [(0, "a")]
    driver.finish(token)
    assert keys(driver) == 0


def test_a_rerun_within_the_period_waits_for_its_end(driver: Driver) -> None:
    spec = spec_of(period=1_000, on_conflict=OnConflict.RERUN)
    put(driver, "a", spec=spec)
    driver.finish(start(driver, "a"))
    ends = driver.now + 1_000
    driver.now += 300
    assert existing(put(driver, "b", spec=spec)) == []
    assert existing(put(driver, "c", spec=spec)) == [(0, "b")]
    assert driver.state("b") is State.SCHEDULED
    driver.tick(later=699)
    assert driver.waiting_ids() == []
    driver.tick(later=1)
    assert driver.now == ends
    assert driver.waiting_ids() == ["b"]
    driver.finish(start(driver, "b"))
    assert keys(driver) == 1  # a period of its own has begun


def test_what_follows_waits_for_the_end_of_the_period(driver: Driver) -> None:
    spec = spec_of(period=1_000, on_conflict=OnConflict.RERUN)
    put(driver, "a", spec=spec)
    token = start(driver, "a")
    put(driver, "b", spec=spec)
    driver.finish(token)
    driver.tick(later=999)
    assert driver.waiting_ids() == []
    driver.tick(later=1)
    assert driver.waiting_ids() == ["b"]


def test_debounce_waits_anew_and_takes_the_last_arguments(driver: Driver) -> None:
    put(driver, "a", spec=DEBOUNCED)
    driver.now += 60
    assert existing(put(driver, "b", spec=DEBOUNCED)) == [(0, "a")]
    driver.tick(later=99)
    assert driver.waiting_ids() == []
    assert driver.state("a") is State.SCHEDULED
    driver.tick(later=1)
    assert driver.waiting_ids() == ["a"]
    assert body(driver, "a") == b"b"


def test_debounce_has_an_end(driver: Driver) -> None:
    ends = driver.now + 250
    for at in range(30):
        put(driver, f"t{at}", spec=DEBOUNCED)
        if driver.waiting_ids():
            break
        driver.now += 20
    assert driver.waiting_ids() == ["t0"]
    assert ends <= driver.now < ends + 20


def test_a_debounced_call_that_is_asked_again_moves_nothing(driver: Driver) -> None:
    created = driver.now
    put(driver, "a", spec=DEBOUNCED)
    driver.now += 80
    put(driver, "a", spec=DEBOUNCED, created=created)
    driver.tick(later=20)
    assert driver.waiting_ids() == ["a"]


def test_debounce_behind_what_runs(driver: Driver) -> None:
    put(driver, "a", spec=DEBOUNCED)
    driver.tick(later=100)
    token = start(driver, "a")
    assert existing(put(driver, "b", spec=DEBOUNCED)) == []
    driver.finish(token)
    driver.tick()
    assert driver.state("b") is State.SCHEDULED
    driver.tick(later=100)
    assert driver.waiting_ids() == ["b"]


def test_a_full_queue_still_names_the_task_that_is_there() -> None:
    full = Driver(ClusterSettings(tasks=1))
    put(full, "a")
    assert existing(put(full, "b")) == [(0, "a")]


def test_there_is_a_bound_of_keys(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unique_keys, "KEYS_MAX", 2)
    put(driver, ("a", "1", b""), ("b", "2", b""))
    (reply,) = put(driver, ("c", "3", b"")).replies
    assert isinstance(reply, Rejected)
    assert reply.code is Code.QUEUE_FULL
    assert "3 unique keys, 2 are allowed" in reply.text
    assert existing(put(driver, ("c", "2", b""))) == [(0, "b")]


def test_a_follower_that_ends_before_its_turn_leaves_no_trace(driver: Driver) -> None:
    from raftwork.features.waiting import end_unstarted, unstarted

    put(driver, "a", spec=RERUN)
    token = start(driver, "a")
    put(driver, "b", spec=RERUN)
    ledger = driver.machine.state
    driver.db.execute("BEGIN")
    end_unstarted(ledger, unstarted(ledger, [2]), State.FAILED, FAILURE)
    driver.machine.flush()
    driver.db.execute("COMMIT")
    assert existing(put(driver, "c", spec=RERUN)) == []
    driver.finish(token)
    driver.tick()
    assert driver.waiting_ids() == ["c"]


def test_one_that_ends_in_the_same_entry_as_its_owner_has_no_turn(driver: Driver) -> None:
    put(driver, "a", spec=spec_of(on_conflict=OnConflict.RERUN, retries=1))
    driver.fail(start(driver, "a"), driver.now + 500)
    put(driver, "b", spec=RERUN)
    everything = CancelSome(Scope.ALL, [], "", "", 0, 0, 1 << 40, 1_000, False)
    assert driver.apply(everything).replies == [Done(2)]
    queue = driver.machine.queue("default")
    assert (queue.queued, queue.running, queue.scheduled, queue.blocked) == (0, 0, 0, 0)
    assert keys(driver) == 0


def test_periods_that_begin_where_others_end_stay_within_bounds(driver: Driver) -> None:
    """Moved to now, each task adds its period to that of the one before."""
    spec = spec_of(on_conflict=OnConflict.RERUN, period=AT_MAX_MS)
    for id_ in "abc":
        put(driver, id_, spec=spec)
        driver.apply(MoveTo(id_, driver.now))
        driver.tick()
        driver.finish(start(driver, id_))
    assert list(driver.db.execute("SELECT until FROM unique_key")) == [(AT_MAX_MS,)]


def test_what_was_merged_is_forgotten_in_the_end(driver: Driver) -> None:
    put(driver, "a", spec=REPLACE)
    put(driver, "b", spec=REPLACE)
    assert driver.machine.state.tombstones == 1
    driver.tick(later=driver.settings.tombstone_ttl)
    assert driver.machine.state.tombstones == 0
    assert driver.state("b") is State.UNKNOWN


def test_effects_wake_the_dispatcher(driver: Driver) -> None:
    put(driver, "a", spec=RERUN)
    token = start(driver, "a")
    put(driver, "b", spec=RERUN)
    put(driver, ("c", "", b""))
    driver.finish(token)
    assert driver.machine.due is not None
    assert driver.machine.due <= driver.now
    # It waits from now on, not before what came while it could not run.
    assert driver.tick() == [QueuedInLane("default", 2, [(2, 4)])]
