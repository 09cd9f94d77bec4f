"""Leases, tokens and reports: what a worker may be told, and when."""

from collections.abc import Callable
from math import nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftwork.broker.cluster.handshake import HELLO_AT_REST_MS
from raftwork.broker.machine.commands import Lose, Tick
from raftwork.broker.workers import worker as worker_module
from raftwork.broker.workers.registry import BEAT_AT_REST_MS, BEAT_MS, LOST_SHOWN_MS
from raftwork.broker.workers.validation import objection
from raftwork.consensus import raft, zab
from raftwork.messages import (
    LAST_SESSION,
    NAME_MAX,
    PROTOCOL,
    Acknowledged,
    Beat,
    Heartbeat,
    Held,
    Holding,
    Loss,
    Outcome,
    Push,
    Spec,
    State,
    Stop,
    WorkerHello,
    WorkerWelcome,
)
from tests.unit.broker.leases import LEASE_CLOSED_MS, LEASE_MS
from tests.unit.broker.queues import enqueue
from tests.unit.broker.registry_harness import FAILURE, ME, ONCE, OTHER, RegistryHarness


@pytest.fixture
def harness() -> RegistryHarness:
    harness = RegistryHarness()
    harness.hello()
    harness.sent()
    return harness


# ---- the hello settles every token --------------------------------------------------------------


def test_a_hello_keeps_stops_or_sends_again_every_token() -> None:
    harness = RegistryHarness()
    harness.hello()
    kept, ended, missing = harness.give(3)
    harness.sent()
    harness.report(Outcome(ended, True, b"v"))
    harness.commit()
    harness.hello(2, Holding(kept, Held.RUNNING, 5), Holding(ended, Held.WAITING, 0))
    sent = [m for _, m in harness.sent()]
    assert sent[0] == WorkerWelcome(1, 2, [ended])
    assert [t.token for m in sent if isinstance(m, Push) for t in m.tasks] == [missing]
    assert not harness.registry.commands()


def test_a_task_sent_again_is_the_same_task() -> None:
    harness = RegistryHarness()
    harness.hello()
    harness.give()
    (first,) = harness.frames(Push)
    harness.hello(2)
    (again,) = harness.frames(Push)
    assert again.tasks == first.tasks
    assert again.session == 2


def test_an_outcome_of_a_finished_task_is_acknowledged_in_the_new_session(
    harness: RegistryHarness,
) -> None:
    (token,) = harness.give()
    harness.report(Outcome(token, True, b"v"))
    harness.commit()
    harness.hello(2, Holding(token, Held.DONE, 0))
    assert harness.frames(Acknowledged) == [Acknowledged(1, 2, [token])]


def test_a_task_goes_again_only_to_the_incarnation_it_was_assigned_to(
    harness: RegistryHarness,
) -> None:
    harness.give()
    harness.sent()
    harness.hello(7, me=OTHER, routing=b"v")
    assert harness.frames(Push) == []


def test_the_next_leader_sends_again_what_its_worker_never_received(
    harness: RegistryHarness,
) -> None:
    (token,) = harness.give(spec=ONCE)
    harness.new_leader()
    harness.hello(2)
    (push,) = harness.frames(Push)
    assert [task.token for task in push.tasks] == [token]
    assert push.epoch == 2


def test_the_next_leader_leaves_alone_what_runs(harness: RegistryHarness) -> None:
    (token,) = harness.give(spec=ONCE)
    harness.new_leader()
    harness.hello(2, Holding(token, Held.RUNNING, 100))
    assert harness.frames(Push) == []
    assert not harness.registry.commands()


def test_what_began_and_is_not_known_any_more_is_lost_not_sent_again(
    harness: RegistryHarness,
) -> None:
    (token,) = harness.give(spec=ONCE)
    harness.report(started=[token])
    harness.sent()
    harness.hello(2)
    assert harness.frames(Push) == []
    assert harness.commit() == [Lose([(token, True)], Loss("w"))]
    assert harness.state() is State.LOST


def test_tokens_that_a_hello_made_up_are_put_into_no_set(harness: RegistryHarness) -> None:
    """They may be chosen to have one hash, and a set of those takes the square of their number."""
    compared = [0]

    class Token(int):
        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            compared[0] += 1
            return int(self) == other

    made_up = [Holding(Token(1_000 + n), Held.WAITING, 0) for n in range(200)]
    harness.hello(2, *made_up)
    assert compared[0] < 1_000


def test_an_overtaken_hello_changes_nothing(harness: RegistryHarness) -> None:
    harness.hello(5)
    harness.sent()
    harness.hello(4, routing=b"other")
    assert harness.sent() == []
    assert harness.report(session=5)


def test_two_hellos_in_one_turn_leave_one_session() -> None:
    harness = RegistryHarness()
    harness.hello(1)
    harness.give()
    harness.hello(2)
    harness.hello(3)
    sent = [m for _, m in harness.sent()]
    assert [m.session for m in sent if isinstance(m, WorkerWelcome)] == [1, 2, 3]
    assert [(m.session, len(m.tasks)) for m in sent if isinstance(m, Push)] == [(3, 1)]
    assert harness.beats() == [Beat(1, 3, 1)]


def test_a_first_hello_may_have_number_zero(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    harness.new_leader()
    harness.hello(0)
    assert [t.token for p in harness.frames(Push) for t in p.tasks] == [token]


def test_frames_of_another_session_are_not_heard(harness: RegistryHarness) -> None:
    harness.hello(2)
    assert not harness.report(session=1)
    assert not harness.report(session=2, routing=b"stranger")


def test_a_reused_routing_id_gets_nothing_of_the_worker_before(harness: RegistryHarness) -> None:
    harness.give()
    harness.sent()
    harness.hello(1, me=OTHER, routing=b"w")
    harness.sent()
    harness.give()  # for the first worker, whose address is gone
    harness.pass_time(2 * BEAT_MS)
    assert harness.frames(Push) == []
    assert [w.incarnation for w in harness.registry.available()] == [OTHER]


# ---- leases -----------------------------------------------------------------------------------


def test_a_silent_worker_keeps_its_tasks_for_the_lease_and_no_longer(
    harness: RegistryHarness,
) -> None:
    (token,) = harness.give()
    assert harness.pass_time(LEASE_MS - 50) == []
    assert harness.pass_time(BEAT_MS + 100) == [Lose([(token, True)], Loss("w"))]


def test_a_long_task_is_not_taken_from_a_worker_that_is_heard(harness: RegistryHarness) -> None:
    harness.give()
    for _ in range(100):
        assert harness.pass_time(1_000) == []
        assert harness.registry.heartbeat(
            b"w", Heartbeat(1, 0.1, 0.1, 0.1, 1, 0, False), harness.now
        )


def test_a_closed_connection_has_its_time_to_come_back(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    harness.pass_time(950)  # just before the next heartbeat
    harness.registry.unreachable(b"w", harness.now)
    assert harness.pass_time(LEASE_CLOSED_MS - 50) == []
    assert harness.pass_time(BEAT_MS + 100) == [Lose([(token, True)], Loss("w"))]


def test_who_does_not_come_back_is_given_up_then_and_not_at_the_next_beat(
    harness: RegistryHarness,
) -> None:
    (token,) = harness.give()
    harness.pass_time(BEAT_MS + 50)
    harness.registry.unreachable(b"w", harness.now)
    until = harness.now + LEASE_CLOSED_MS + 1
    while harness.registry.wake_at < until:
        harness.now = harness.registry.wake_at
        harness.registry.pass_time(harness.now, harness.queues.time)
        assert harness.commit() == []
    assert harness.registry.wake_at == until
    harness.now = until
    harness.registry.pass_time(until, harness.queues.time)
    assert harness.commit() == [Lose([(token, True)], Loss("w"))]
    assert harness.registry.wake_at > until


def test_a_closed_connection_does_not_lengthen_a_lease(harness: RegistryHarness) -> None:
    harness.give()
    harness.pass_time(LEASE_MS - 100)
    harness.registry.unreachable(b"w", harness.now)
    assert len(harness.pass_time(BEAT_MS + 150)) == 1


def test_who_comes_back_in_that_time_keeps_everything(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    harness.registry.unreachable(b"w", harness.now)
    harness.pass_time(LEASE_CLOSED_MS - 100)
    harness.hello(2, Holding(token, Held.RUNNING, 3), routing=b"w2")
    assert harness.pass_time(LEASE_MS - 100) == []


def test_a_worker_whose_connection_closed_gets_nothing_new(harness: RegistryHarness) -> None:
    assert len(harness.registry.available()) == 1
    harness.registry.unreachable(b"w", harness.now)
    assert harness.registry.available() == []


def test_a_goodbye_gives_the_tasks_back_at_once(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    harness.report(started=[token])
    assert harness.registry.goodbye(b"w", 1, harness.now)
    assert harness.commit() == [Lose([(token, True)], Loss("w"))]
    assert harness.state() is State.QUEUED
    assert harness.registry.statuses() == []


def test_a_worker_that_is_known_to_be_gone_loses_what_ran_at_once_and_hands_back_the_rest(
    harness: RegistryHarness,
) -> None:
    """What is left of it says so: over a connection of its own, in the worker's last session."""
    first, second, third = harness.give(3)
    harness.report(started=[first])
    harness.registry.unreachable(b"w", harness.now)
    harness.hello(2**62, Holding(second, Held.RUNNING, 3), routing=b"left", slots=0)
    assert harness.registry.goodbye(b"left", 2**62, harness.now, lost=True)
    by = Loss("w")
    assert harness.commit() == [
        Lose([(first, True), (third, False)], by),  # one had begun; what came of it is lost
        Lose([(second, True)], by),
    ]
    assert [worker.state for worker in harness.registry.statuses()] == ["lost"]


def lose(harness: RegistryHarness, *running: int) -> dict[int, bool]:
    """What is left of the killed worker speaks; for each token whether it counts as begun."""
    held = [Holding(token, Held.RUNNING, 3) for token in running]
    harness.hello(LAST_SESSION, *held, routing=b"left", slots=0)
    assert harness.registry.goodbye(b"left", LAST_SESSION, harness.now, lost=True)
    commands = harness.commit()
    assert harness.frames(Push) == []
    return {token: begun for c in commands if isinstance(c, Lose) for token, begun in c.tokens}


@pytest.mark.parametrize("failover", [False, True])
def test_what_a_killed_worker_ran_unreported_counts_as_begun_if_it_may_run_once(
    harness: RegistryHarness, failover: bool
) -> None:
    """Its last hello lists what ran as it ended. What had ended before left no trace there."""
    ended, running = harness.give(2, spec=ONCE)
    (other,) = harness.give()
    harness.sent()
    if failover:
        harness.new_leader()
    assert lose(harness, running) == {ended: True, running: True, other: False}
    assert [harness.state(id_) for id_ in "012"] == [State.LOST, State.LOST, State.QUEUED]


def test_what_a_killed_worker_ran_unreported_never_expires(harness: RegistryHarness) -> None:
    (ended,) = harness.give(spec=Spec("job", "default", expires=60_000))
    harness.sent()
    assert lose(harness) == {ended: True}
    harness.queues.time += 60_000
    harness.queues.apply(Tick())
    assert harness.state() is State.QUEUED


def test_what_was_never_sent_to_a_killed_worker_did_not_begin(harness: RegistryHarness) -> None:
    harness.registry.unreachable(b"w", harness.now)
    (unsent,) = harness.give(spec=ONCE)
    assert lose(harness) == {unsent: False}
    assert harness.state() is State.QUEUED


def test_the_leaders_own_pause_is_forgiven(harness: RegistryHarness) -> None:
    harness.give()
    harness.now += LEASE_MS + 500
    harness.registry.extend_leases(LEASE_MS + 500, harness.now)
    assert harness.pass_time(LEASE_MS - 50) == []
    assert len(harness.pass_time(BEAT_MS + 100)) == 1


def test_a_pause_does_not_lengthen_the_lease_of_who_was_heard_after_it(
    harness: RegistryHarness,
) -> None:
    harness.give()
    harness.now += 2_000
    harness.report()
    harness.registry.extend_leases(2_000, harness.now)
    assert len(harness.pass_time(LEASE_MS + BEAT_MS + 50)) == 1


def test_lost_workers_are_shown_for_a_minute_and_then_forgotten(harness: RegistryHarness) -> None:
    harness.pass_time(LEASE_MS + BEAT_MS + 50)
    assert [w.state for w in harness.registry.statuses()] == ["lost"]
    harness.pass_time(LOST_SHOWN_MS + BEAT_MS, step=BEAT_MS)
    assert harness.registry.statuses() == []
    assert harness.registry._workers == {}


def test_a_new_leader_waits_a_lease_for_workers_it_never_saw(harness: RegistryHarness) -> None:
    (token,) = harness.give(spec=ONCE)
    harness.new_leader()
    assert harness.pass_time(LEASE_MS - 50) == []
    # Unknown after a failover counts as started: it must not run twice.
    assert harness.pass_time(BEAT_MS + 100) == [Lose([(token, True)])]
    assert harness.state() is State.LOST


# ---- losses -----------------------------------------------------------------------------------


def test_only_what_may_have_begun_counts_as_a_loss(harness: RegistryHarness) -> None:
    tokens = harness.give(5)  # two slots: three are held ahead
    (lose,) = harness.pass_time(LEASE_MS + BEAT_MS + 50)
    assert lose == Lose([(t, i < 2) for i, t in enumerate(tokens)], Loss("w"))


def test_a_task_that_runs_at_most_once_counts_as_begun_wherever_it_stands(
    harness: RegistryHarness,
) -> None:
    tokens = harness.give(4, spec=ONCE)
    assert harness.pass_time(LEASE_MS + BEAT_MS + 50) == [
        Lose([(t, True) for t in tokens], Loss("w"))
    ]


def test_a_reported_start_counts_wherever_the_task_stood(harness: RegistryHarness) -> None:
    tokens = harness.give(5)
    harness.report(started=[tokens[4]])
    (lose,) = harness.pass_time(LEASE_MS + BEAT_MS + 50)
    assert isinstance(lose, Lose)
    assert dict(lose.tokens)[tokens[4]] is True


def test_what_waited_after_a_failover_counts_as_begun_until_the_worker_says_otherwise(
    harness: RegistryHarness,
) -> None:
    tokens = harness.give(4)
    harness.new_leader()
    harness.hello(2, *(Holding(t, Held.WAITING, 0) for t in tokens))
    (lose,) = harness.pass_time(LEASE_MS + BEAT_MS + 50)
    assert lose == Lose([(t, i < 2) for i, t in enumerate(tokens)], Loss("w"))
    for token in harness.assign(ME):
        assert token > tokens[-1]
    harness.new_leader()
    (lose,) = harness.pass_time(LEASE_MS + BEAT_MS + 50)
    assert isinstance(lose, Lose)
    assert all(begun for _, begun in lose.tokens)


def test_a_task_that_was_lost_before_counts_as_begun_also_under_the_next_leader(
    harness: RegistryHarness,
) -> None:
    harness.give(4)
    lost = Lose([(t, True) for t in sorted(harness.registry._workers[ME].assignments)], Loss("w"))
    harness.commit(lost)
    tokens = harness.assign(ME)
    harness.new_leader()
    harness.hello(2, *(Holding(t, Held.WAITING, 0) for t in tokens))

    assert harness.pass_time(LEASE_MS + BEAT_MS + 50) == [
        Lose([(t, True) for t in tokens], Loss("w"))
    ]


def test_what_is_assigned_to_a_worker_that_left_meanwhile_goes_back_unhurt(
    harness: RegistryHarness,
) -> None:
    worker = harness.registry._workers[ME]
    harness.registry.goodbye(b"w", 1, harness.now)
    (token,) = harness.give(spec=ONCE)
    assert worker.assignments == {}
    assert harness.commit() == [Lose([(token, False)])]
    assert harness.state() is State.QUEUED
    assert harness.frames(Push) == []


def test_the_outcome_proposed_before_the_loss_stands(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    harness.report(Outcome(token, True, b"v"))
    proposed = harness.registry.commands()
    harness.now += LEASE_MS + 1
    harness.registry.pass_time(harness.now, harness.queues.time)
    harness.commit(*proposed)
    assert harness.state() is State.SUCCEEDED


def test_a_worker_given_up_that_returns_forgets_nothing_the_log_has_not_decided(
    harness: RegistryHarness,
) -> None:
    """The leader's Lose may never be committed: then the outcome is all there is."""
    done, running, waiting = harness.give(3, spec=ONCE)
    harness.now += LEASE_MS + 1
    harness.registry.pass_time(harness.now, harness.queues.time)
    (lose,) = harness.registry.commands()
    harness.hello(
        2,
        Holding(done, Held.DONE, 0),
        Holding(running, Held.RUNNING, 9),
        Holding(waiting, Held.WAITING, 0),
    )
    harness.report(Outcome(done, True, b"v"), session=2)
    assert harness.frames(WorkerWelcome) == [WorkerWelcome(1, 2, [])]
    assert harness.sent() == []
    finish = harness.registry.commands()
    # Now the log decides, in its order: the loss first.
    harness.commit(lose, *finish)
    sent = [m for _, m in harness.sent()]
    assert Acknowledged(1, 2, [done]) in sent
    assert Stop(1, 2, [running, waiting]) in sent
    assert harness.state("0") is State.LOST


def test_what_a_worker_given_up_never_got_is_not_sent_to_it_when_it_returns(
    harness: RegistryHarness,
) -> None:
    harness.give()
    harness.sent()
    harness.now += LEASE_MS + 1
    harness.registry.pass_time(harness.now, harness.queues.time)
    harness.hello(2)
    assert harness.frames(Push) == []
    harness.commit()
    assert harness.state() is State.QUEUED


def test_a_returned_workers_room_is_what_it_was(harness: RegistryHarness) -> None:
    harness.give(2)
    harness.pass_time(LEASE_MS + BEAT_MS + 50)
    harness.hello(2)
    (worker,) = harness.registry.available()
    assert worker.busy == 0
    assert worker.capacity == 2


def test_a_task_lost_too_often_is_proposed_as_lost_only_once(harness: RegistryHarness) -> None:
    harness.give()
    harness.now += LEASE_MS + 1
    harness.registry.pass_time(harness.now, harness.queues.time)
    harness.hello(2)
    harness.now += LEASE_MS + 1
    harness.registry.pass_time(harness.now, harness.queues.time)
    assert len(harness.registry.commands()) == 1


# ---- frames -----------------------------------------------------------------------------------


def test_a_beat_counts_what_was_pushed_in_the_session(harness: RegistryHarness) -> None:
    harness.give(2)
    assert harness.beats() == [Beat(1, 1, 2)]
    harness.give(3)
    assert harness.beats() == [Beat(1, 1, 5)]
    harness.hello(2)
    assert harness.beats() == [Beat(1, 2, 5)]


def test_what_is_pushed_needs_no_beat_besides_and_a_beat_that_is_due_comes_with_it(
    harness: RegistryHarness,
) -> None:
    harness.sent()
    harness.give(1)
    assert [type(m) for _, m in harness.sent()] == [Push]
    harness.now += BEAT_MS
    harness.registry.pass_time(harness.now, harness.queues.time)
    harness.give(1)
    assert [type(m) for _, m in harness.sent()] == [Push, Beat]


def beats(harness: RegistryHarness, ms: int) -> int:
    count = 0
    for _ in range(ms):
        harness.now += 1
        harness.registry.pass_time(harness.now, 0)
        count += len(harness.frames(Beat))
        assert harness.registry.wake_at <= harness.now + BEAT_AT_REST_MS
    return count


def test_workers_are_beaten_to_several_times_a_second(harness: RegistryHarness) -> None:
    harness.give(1)
    harness.frames(Beat)
    assert beats(harness, 10 * BEAT_MS) == 10


def test_workers_at_rest_are_beaten_to_along_with_the_consensus_heartbeats(
    harness: RegistryHarness,
) -> None:
    beats(harness, BEAT_MS)
    assert beats(harness, 10 * BEAT_AT_REST_MS) == 10
    assert harness.registry.wake_at % BEAT_AT_REST_MS == 0
    assert BEAT_AT_REST_MS == raft.Config().heartbeat_at_rest == zab.Config().ping_at_rest
    assert HELLO_AT_REST_MS % BEAT_AT_REST_MS == 0


def test_what_is_handed_out_at_rest_quickens_the_beats_at_once(harness: RegistryHarness) -> None:
    beats(harness, BEAT_AT_REST_MS)
    rest = harness.registry.wake_at
    harness.now = rest - BEAT_AT_REST_MS
    harness.registry.pass_time(harness.now, 0)
    harness.give(1)
    assert harness.registry.wake_at < rest


def test_pushes_are_cut_by_size(harness: RegistryHarness) -> None:
    queue = harness.queues
    queue.apply(enqueue("a", "b", "c", payload=b"x" * (worker_module.PUSH_BYTES // 2)))
    harness.assign()
    pushes = harness.frames(Push)
    assert [len(p.tasks) for p in pushes] == [1, 1, 1]


def test_a_draining_worker_gets_nothing_new(harness: RegistryHarness) -> None:
    harness.registry.heartbeat(b"w", Heartbeat(1, None, None, None, 0, 0, True), harness.now)
    assert harness.registry.available() == []
    assert [w.state for w in harness.registry.statuses()] == ["draining"]


@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(0, 2**63 - 1),
)
def test_any_load_is_taken(cpu: float, memory: float, window: int) -> None:
    harness = RegistryHarness()
    harness.hello()
    for load in (nan, cpu):
        beat = Heartbeat(1, load, memory, nan, 2**60, window, False)
        assert harness.registry.heartbeat(b"w", beat, harness.now)
    (status,) = harness.registry.statuses()
    assert 0.02 <= status.weight <= 1.0
    assert status.cpu is not None
    assert 0.0 <= status.cpu <= 1.0
    assert harness.registry.available()[0].window <= 1_024


def test_a_worker_cannot_claim_more_slots_than_a_worker_may_have() -> None:
    harness = RegistryHarness()
    harness.hello(slots=2**63 - 1)
    assert harness.registry.available()[0].capacity == worker_module.SLOTS_MAX


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"incarnation": b"short"}, "got 5"),
        ({"name": "n" * (NAME_MAX + 1)}, "256"),
        ({"host": "n" * (NAME_MAX + 1)}, "256"),
        ({"queues": ["q" * (NAME_MAX + 1)]}, "256"),
        ({"queues": ["q"] * 1_001}, "1001"),
    ],
)
def test_an_objectionable_hello_is_told_what_is_wrong(
    change: dict[str, object], wrong: str
) -> None:
    hello = WorkerHello(PROTOCOL, "w", ME, 1, "h", 1, 1, ["default"], [], False)
    assert objection(hello) is None
    text = objection(hello._replace(**change))  # type: ignore[arg-type]
    assert text is not None
    assert wrong in text


# ---- everything at once -----------------------------------------------------------------------


class History(RegistryHarness):
    """Moves by name; `pick` chooses among the running tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.session = 0
        self.say_hello(0)

    def token(self, pick: int) -> int:
        tokens = [run.token for run in self.queues.machine.running()]
        return tokens[pick % len(tokens)] if tokens else 10_000

    def say_hello(self, pick: int) -> None:
        self.session += 1
        held = [run.token for run in self.queues.machine.running()][::2]
        self.hello(self.session, *(Holding(t, Held(pick % 3), 0) for t in held))

    def enqueue(self, pick: int) -> None:
        if ME in self.registry._workers:
            self.give(spec=Spec("job", "default", at_most_once=pick % 2 == 0))

    def tell(self, *outcomes: Outcome, **more: list[int]) -> None:
        self.report(*outcomes, **more, session=self.session)  # type: ignore[arg-type]

    def wait(self, pick: int) -> None:
        self.now += 100 * pick
        self.registry.pass_time(self.now, self.queues.time)


MOVES: dict[str, Callable[[History, int], object]] = {
    "enqueue": History.enqueue,
    "start": lambda h, pick: h.tell(started=[h.token(pick)]),
    "finish": lambda h, pick: h.tell(Outcome(h.token(pick), True, b"")),
    "fail": lambda h, pick: h.tell(Outcome(h.token(pick), False, FAILURE)),
    "release": lambda h, pick: h.tell(released=[h.token(pick)]),
    "hello": History.say_hello,
    "commit": lambda h, _: h.commit(),
    "close": lambda h, _: h.registry.unreachable(b"w", h.now),
    "goodbye": lambda h, _: h.registry.goodbye(b"w", h.session, h.now),
    "wait": History.wait,
    "lease": lambda h, _: h.pass_time(LEASE_MS + BEAT_MS + 50),
    "leader": lambda h, _: h.new_leader(),
}


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(list(MOVES)), st.integers(0, 50)), max_size=40))
def test_in_any_history_every_token_is_accounted_for(moves: list[tuple[str, int]]) -> None:
    history = History()
    for move, pick in moves:
        MOVES[move](history, pick)
        for worker in history.registry._workers.values():
            assert worker.busy == sum(not hand.done for hand in worker.assignments.values())
    # Nobody comes back: every token must come to its end.
    history.pass_time(2 * LEASE_MS + BEAT_MS)
    while history.commit():
        pass
    assert list(history.queues.machine.running()) == []
    assert not history.registry._holder
