"""A leadership: one batch a turn into the log, and what comes back out of it."""

from random import Random

import pytest

from raftwork.broker.leader.leadership import BATCH_BYTES
from raftwork.broker.machine.commands import (
    TIME_MAX,
    Assign,
    Command,
    Fail,
    Finish,
    Lose,
    Tick,
)
from raftwork.broker.placement.balancers import BALANCERS
from raftwork.broker.workers.registry import BEAT_AT_REST_MS
from raftwork.broker.workers.worker import ACK_WAITS_BYTES, ACKS_MAX
from raftwork.consensus.core import Position
from raftwork.errors import NotLeader, QueueFull
from raftwork.features.enqueue import Admit, Enqueue, Enqueued
from raftwork.features.history import NameWorker
from raftwork.features.queue_settings import Configure, changes
from raftwork.features.results import Ask
from raftwork.features.upgrade import Raise
from raftwork.messages import (
    Acknowledged,
    Beat,
    Failure,
    Heartbeat,
    Outcome,
    Push,
    Spec,
    State,
    encode_failure,
    encode_spec,
)
from raftwork.release import LEVELS, RELEASE
from raftwork.wire import pack
from tests.unit.broker.leadership_harness import ME, LeadershipHarness, parse
from tests.unit.broker.leases import LEASE_MS
from tests.unit.broker.queues import SPEC, Queues, enqueue


@pytest.fixture
def harness() -> LeadershipHarness:
    return LeadershipHarness()


def test_a_task_goes_through_its_whole_life(harness: LeadershipHarness) -> None:
    harness.hello()
    harness.turn()
    harness.sent()
    request = harness.enqueue("a")
    harness.turn()
    sent = harness.sent()
    assert Enqueued(request) in sent
    (token,) = [t.token for m in sent if isinstance(m, Push) for t in m.tasks]
    harness.report(Outcome(token, True, b"v"))
    harness.turn()
    assert harness.queues.machine.lookup(["a"])[0].state is State.SUCCEEDED
    harness.turn(BEAT_AT_REST_MS)
    assert Acknowledged(1, 1, [token]) in harness.sent()


def test_a_small_outcome_is_acknowledged_with_the_next_frame(harness: LeadershipHarness) -> None:
    """By itself it would wake the worker once more for each task."""
    harness.hello()
    harness.turn()
    harness.enqueue("a")
    harness.turn()
    (token,) = harness.pushed()
    harness.report(Outcome(token, True, b"v"))
    harness.turn()
    assert not any(isinstance(m, Acknowledged | Beat) for m in harness.sent())
    harness.enqueue("b")
    harness.turn()
    sent = harness.sent()
    assert Acknowledged(1, 1, [token]) in sent
    assert any(isinstance(m, Push) for m in sent)


@pytest.mark.parametrize("why", ["large", "many", "drains", "is drained"])
def test_an_acknowledgement_that_its_worker_waits_for_leaves_at_once(
    harness: LeadershipHarness, why: str
) -> None:
    """It takes nothing new while it keeps too much, and does not end before all is confirmed."""
    harness.hello()
    harness.turn()
    harness.enqueue("a")
    harness.turn()
    (token,) = harness.pushed()
    worker = harness.lead.workers.named("w")[0]
    worker.acks = list(range(1_000, 1_000 + ACKS_MAX)) if why == "many" else []
    worker.draining, worker.leaving = why == "drains", why == "is drained"
    data = b"x" * (ACK_WAITS_BYTES + 1) if why == "large" else b"v"
    harness.report(Outcome(token, True, data))
    harness.turn()
    acknowledged = [t for m in harness.sent() if isinstance(m, Acknowledged) for t in m.tokens]
    assert token in acknowledged


def test_a_worker_that_begins_to_drain_gets_what_it_waits_for(harness: LeadershipHarness) -> None:
    harness.hello()
    harness.turn()
    harness.enqueue("a")
    harness.turn()
    (token,) = harness.pushed()
    harness.report(Outcome(token, True, b"v"))
    harness.turn()
    harness.sent()
    harness.lead.workers.heartbeat(b"w", Heartbeat(1, 0.0, 0.0, 0.0, 0, 0, True), harness.now)
    assert Acknowledged(1, 1, [token]) in harness.sent()


def test_all_wants_of_a_turn_are_one_entry(harness: LeadershipHarness) -> None:
    for i in range(50):
        harness.enqueue(f"{i}")
    (entry,) = harness.plan()
    assert len(entry) == 50


def test_what_applying_makes_possible_is_proposed_in_the_same_turn(
    harness: LeadershipHarness,
) -> None:
    harness.enqueue("a")
    harness.plan()
    harness.hello()
    harness.commit()
    assert [[type(c) for c in entry] for entry in harness.plan()] == [[Assign]]


def test_nothing_is_pushed_before_its_assign_is_applied(harness: LeadershipHarness) -> None:
    harness.enqueue("a")
    harness.plan()
    harness.hello()
    harness.commit()
    harness.plan()
    assert harness.pushed() == []
    harness.commit()
    assert harness.pushed() == [1]


def begun(entry: list[Command]) -> list[list[int]]:
    """How many tasks each Enqueue of an entry hands out at once."""
    return [[count for _, count in c.begin] for c in entry if isinstance(c, Admit)]


def test_a_task_that_nothing_waits_before_is_handed_out_with_its_enqueue(
    harness: LeadershipHarness,
) -> None:
    harness.hello(slots=2)
    request = harness.enqueue("a")
    (entry,) = harness.plan()
    assert begun(entry) == [[1]]
    harness.commit()
    sent = harness.sent()
    assert Enqueued(request) in sent
    assert [(t.id, t.attempt) for m in sent if isinstance(m, Push) for t in m.tasks] == [("a", 1)]


def test_no_more_tasks_begin_at_once_than_slots_are_free(harness: LeadershipHarness) -> None:
    harness.hello(slots=2)
    harness.enqueue("a")
    harness.enqueue("b", "c", "d")
    harness.enqueue("e")
    (entry,) = harness.plan()
    assert begun(entry) == [[1], [1], []]
    harness.turn()
    assert harness.pushed() == [1, 2]


def test_nobody_overtakes_what_is_on_its_way_into_the_same_queue(
    harness: LeadershipHarness,
) -> None:
    harness.enqueue("a", "b")
    harness.plan()
    harness.hello(slots=1)
    harness.enqueue("c")
    harness.enqueue("x", spec=Spec("job", "b"))
    (entry,) = harness.plan()
    assert begun(entry) == [[], [1]]


def test_a_task_with_a_key_waits_to_be_placed_by_it(harness: LeadershipHarness) -> None:
    harness.hello(slots=2)
    tasks = pack([["a", b"", "red"]])
    request = Enqueue(9, harness.lead.time(harness.now), encode_spec(SPEC), tasks)
    harness.lead.request(b"c", request, len(tasks), harness.now)
    harness.enqueue("b")
    (entry,) = harness.plan()
    assert begun(entry) == [[], []]  # nor does the one behind it overtake
    harness.turn()
    assert harness.pushed() == [1, 2]


def test_nobody_overtakes_what_waits(harness: LeadershipHarness) -> None:
    harness.enqueue("a", "b")
    harness.turn()
    harness.hello(slots=1)
    harness.enqueue("c")
    harness.lead.plan(harness.now)
    assert not any(begun([c for p in harness.core.log for c in parse(p[1])])[0])


def test_what_was_reserved_for_tasks_that_were_known_is_free_again(
    harness: LeadershipHarness,
) -> None:
    harness.hello(slots=4)
    harness.enqueue("a", "b", "c")
    harness.enqueue("a", "b", "c")
    harness.enqueue("a", payload=b"other")
    harness.turn()
    assert harness.pushed() == [1, 2, 3]
    (worker,) = harness.lead.workers.available()
    assert worker.busy == 3
    assert worker.capacity == 1


def test_a_task_begun_at_a_worker_that_left_meanwhile_waits_again(
    harness: LeadershipHarness,
) -> None:
    harness.hello(slots=1)
    harness.enqueue("a")
    harness.plan()
    assert harness.lead.workers.goodbye(b"w", 1, harness.now)
    harness.turn()
    assert harness.pushed() == []
    (waiting,) = harness.queues.machine.waiting("default", 0, 9, 1 << 20)
    assert (waiting.id, waiting.losses) == ("a", 0)


@pytest.mark.parametrize("payload", [100, 300_000])
def test_entries_are_cut_at_a_batch_of_bytes(harness: LeadershipHarness, payload: int) -> None:
    for i in range(12):
        harness.enqueue(f"{i}", payload=b"x" * payload)
    entries = harness.plan()
    for _, data in harness.core.log:
        assert len(data) < BATCH_BYTES + payload + 10_000
    assert sum(map(len, entries)) == 12
    assert len(entries) == (1 if payload == 100 else 4)


@pytest.mark.parametrize("ok", [True, False])
def test_outcomes_count_for_the_batch_too(harness: LeadershipHarness, ok: bool) -> None:
    harness.hello(slots=12)
    harness.enqueue(*(f"{i}" for i in range(12)))
    harness.turn()
    data = b"x" * 300_000 if ok else encode_failure(Failure("E", "x" * 300_000, ""))
    harness.report(*(Outcome(t, ok, data) for t in harness.pushed()))
    entries = harness.plan()
    assert all(isinstance(c, Finish | Fail | NameWorker) for entry in entries for c in entry)
    for _, entry_data in harness.core.log:
        assert len(entry_data) < 2 * BATCH_BYTES + 10_000
    assert len(entries) > 1


@pytest.mark.parametrize("refusal", [QueueFull("the log is full"), NotLeader("b")])
def test_a_log_that_takes_nothing_now_gets_everything_later_once(
    harness: LeadershipHarness, refusal: Exception
) -> None:
    """A full log, or leadership being handed over and then kept."""
    harness.hello()
    first = harness.enqueue("a")
    harness.core.refusal = refusal
    for _ in range(3):
        assert harness.plan() == []
    second = harness.enqueue("b")
    assert harness.plan() == []
    assert harness.sent()[:1] != [Enqueued(first)]
    harness.core.refusal = None
    ((one, two),) = harness.plan()
    assert isinstance(one, Admit)
    assert isinstance(two, Admit)
    harness.commit()
    sent = harness.sent()
    assert [m.request for m in sent if isinstance(m, Enqueued)] == [first, second]
    tokens = [t.token for m in sent if isinstance(m, Push) for t in m.tasks]
    harness.turn()
    assert tokens + harness.pushed() == [1, 2]


def test_assigns_that_could_not_be_proposed_are_not_planned_twice(
    harness: LeadershipHarness,
) -> None:
    harness.enqueue("a", "b")
    harness.plan()
    harness.commit()
    harness.hello()
    harness.core.refusal = QueueFull("the log is full")
    for _ in range(3):
        harness.lead.capacity_changed()
        assert harness.plan() == []
    harness.core.refusal = None
    harness.turn()
    assert harness.pushed() == [1, 2]


def test_a_question_waits_for_a_core_that_leads(harness: LeadershipHarness) -> None:
    harness.core.refusal = NotLeader("b")
    harness.lead.request(b"c", Ask(1, ["a"]), 9, harness.now)
    harness.plan()
    assert harness.core.barriers == []
    harness.core.refusal = None
    harness.plan()
    (token,) = harness.core.barriers
    harness.lead.read_ready(token)
    assert len(harness.sent()) == 1


def test_one_barrier_serves_all_questions_of_a_turn(harness: LeadershipHarness) -> None:
    for request in range(9):
        harness.lead.request(b"c", Ask(request, ["a"]), 9, harness.now)
    harness.plan()
    assert len(harness.core.barriers) == 1


def test_barriers_of_an_earlier_leadership_answer_nothing(harness: LeadershipHarness) -> None:
    harness.lead.request(b"c", Ask(1, ["a"]), 9, harness.now)
    harness.plan()
    later = LeadershipHarness(harness.queues, epoch=2)
    later.lead.request(b"c", Ask(1, ["a"]), 9, later.now)
    later.plan()
    assert later.core.barriers[0] > harness.core.barriers[-1]
    later.lead.read_ready(harness.core.barriers[0])
    assert later.sent() == []


# ---- time ---------------------------------------------------------------------------------------


def test_leader_time_starts_from_the_later_of_machine_and_clocks() -> None:
    queues = Queues(time=9_000)
    queues.apply(Tick())
    assert LeadershipHarness(queues, time=5_000).lead.time(100) == 9_000
    assert LeadershipHarness(queues, time=50_000).lead.time(130) == 50_030


def test_leader_time_goes_on_with_the_monotonic_clock_and_never_back(
    harness: LeadershipHarness,
) -> None:
    assert harness.lead.time(600) == 5_500
    harness.queues.time = 90_000
    harness.queues.apply(Tick())
    assert harness.lead.time(601) == 90_000


def test_no_clock_can_make_an_entry_the_machine_refuses() -> None:
    harness = LeadershipHarness(time=2**63 - 1)
    assert harness.lead.time(harness.now) == TIME_MAX
    request = harness.enqueue("a")
    harness.turn()
    assert Enqueued(request) in harness.sent()


def test_a_due_retry_is_woken_by_a_tick_when_nothing_else_goes_on(
    harness: LeadershipHarness,
) -> None:
    harness.hello()
    harness.enqueue("a", spec=Spec("job", "default", retries=1, backoff=10_000))
    harness.turn()
    (token,) = harness.pushed()
    harness.report(Outcome(token, False, encode_failure(Failure("E", "", ""))))
    harness.turn()
    for _ in range(4):
        harness.lead.workers.heartbeat(b"w", Heartbeat(1, 0, 0, 0, 0, 0, False), harness.now)
        harness.now += 1_000
        assert harness.plan() == []
    waited = 0
    while not (pushed := harness.pushed()):
        harness.lead.workers.heartbeat(b"w", Heartbeat(1, 0, 0, 0, 0, 0, False), harness.now)
        wait = harness.lead.wake_at - harness.now
        assert wait > 0, "it would spin"
        waited += wait
        harness.turn(wait)
    assert pushed == [2]
    assert 6_000 <= waited <= 8_501


def test_a_tick_that_cannot_be_proposed_does_not_spin(harness: LeadershipHarness) -> None:
    harness.hello()
    harness.enqueue("a", spec=Spec("job", "default", retries=1, backoff=2))
    harness.turn()
    (token,) = harness.pushed()
    harness.report(Outcome(token, False, encode_failure(Failure("E", "", ""))))
    harness.turn()
    harness.core.refusal = NotLeader("b")
    harness.now += 50
    harness.plan()
    assert harness.lead.wake_at > harness.now
    harness.core.refusal = None
    harness.turn()
    assert harness.pushed() == [2]


def test_an_idle_leader_proposes_nothing(harness: LeadershipHarness) -> None:
    harness.hello()
    for _ in range(20):
        harness.now += 100
        harness.lead.workers.heartbeat(b"w", Heartbeat(1, 0, 0, 0, 0, 0, False), harness.now)
        harness.lead.capacity_changed()
        assert harness.plan() == []


def test_entries_of_others_are_applied_without_replies(harness: LeadershipHarness) -> None:
    """A new leader applies what the last one proposed: nobody waits for it here."""
    applied = harness.queues.apply(enqueue("a"))
    harness.lead.applied(Position(1, 77), applied)
    assert harness.sent() == []
    harness.hello()
    harness.turn()
    assert harness.pushed() == [1]


def test_every_leader_places_a_queues_tasks_by_the_balancer_set_for_it() -> None:
    queues = Queues()
    queues.apply(Configure("b", changes(balancer="failover")))
    for epoch in (1, 2):
        harness = LeadershipHarness(queues, epoch=epoch)
        of = harness.lead._dispatcher._balancer_of
        assert type(of("b")) is type(BALANCERS["failover"](Random(1)))
        assert type(of("default")) is type(BALANCERS["weighted"](Random(1)))


# ---- what is proposed first ---------------------------------------------------------------------


def of_a_cluster_without_a_level() -> LeadershipHarness:
    """A task of it runs."""
    queues = Queues(level=0)
    queues.apply(enqueue("a"), Assign(ME, [1]))
    return LeadershipHarness(queues)


def test_with_nothing_to_propose_first_it_serves_at_once(harness: LeadershipHarness) -> None:
    assert harness.lead.serves
    assert harness.plan() == []


def test_it_serves_once_the_clusters_first_level_is_applied() -> None:
    one = of_a_cluster_without_a_level()
    served = [one.lead.serves]
    assert one.plan() == [[Raise(LEVELS.most, RELEASE)]]
    one.now += 500
    assert one.plan() == []
    served.append(one.lead.serves)
    one.commit()
    assert one.plan() == []
    served.append(one.lead.serves)
    assert served == [False, False, True]
    assert one.queues.machine.level == LEVELS.most


@pytest.mark.parametrize("refusal", [QueueFull("no room"), NotLeader("handing over")])
def test_a_first_level_that_the_log_refuses_is_proposed_later(refusal: Exception) -> None:
    one = of_a_cluster_without_a_level()
    one.core.refusal = refusal
    assert one.plan() == []
    one.core.refusal = None
    assert one.plan() == [[Raise(LEVELS.most, RELEASE)]]
    one.turn()
    assert one.lead.serves


def test_the_wait_for_the_first_level_costs_no_worker_its_tasks() -> None:
    """Nobody could say hello to this leader: a lease that ran meanwhile would be no lease."""
    one = of_a_cluster_without_a_level()
    one.plan()
    one.now += LEASE_MS + 500
    one.plan()
    one.commit()
    assert one.plan() == []
    assert not one.lead.processor.view.all_heard
    one.now += LEASE_MS - 100
    assert one.plan() == []
    one.now += 1_000
    (entry,) = one.plan()
    assert isinstance(entry[0], Lose)
