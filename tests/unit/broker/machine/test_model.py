"""The machine against a naive model, with a twin that is reopened from its tables at times."""

import os
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from raftwork.broker.machine import ClusterSettings
from raftwork.broker.machine.commands import (
    Assign,
    Command,
    Expire,
    Fail,
    Finish,
    Lose,
    LoseSaying,
    Release,
    Tick,
    encode_batch,
)
from raftwork.features import dead_letters
from raftwork.features.cluster_settings import ConfigureCluster
from raftwork.features.dead_letters import Purge, Retry
from raftwork.features.effects import Rejected
from raftwork.features.enqueue import Admit
from raftwork.features.purge_queue import DropWaiting
from raftwork.features.queue_settings import Configure
from raftwork.messages import Loss
from tests.unit.broker.machine.driver import FAILURE, START, Driver, change_of, spec_of, tasks_of
from tests.unit.broker.machine.model import Model, Place

#: So small that every bound is met.
LIMITS = ClusterSettings(
    tasks=8,
    queues=3,
    results=3,
    result_bytes=60,
    tombstones=4,
    enqueue_window=100,
    tombstone_ttl=60,
    result_ttl=80,
    max_losses=2,
    dead=2,
    dead_bytes=100,
)
IDS = [f"task {i}" for i in range(14)]
SPECS = [
    spec_of("a", retries=1, timeout=7, result_ttl=50),
    spec_of("a", retries=0, result_ttl=20),
    spec_of("b", at_most_once=True, retries=2, result_ttl=1_000),
    spec_of("b", retries=2, result_ttl=0),
    spec_of("c"),
    spec_of("d"),
]

small = st.integers(0, 9)
#: What a command is about is a position among what there is; beyond that it is about nothing.
picks = st.lists(small, min_size=1, max_size=4)
tasks = st.lists(
    st.tuples(st.sampled_from(IDS), st.sampled_from([b"", b"x"])), min_size=1, max_size=5
)
recipes: st.SearchStrategy[Callable[[Model], Command]] = st.one_of(
    st.builds(
        lambda age, spec, tasks: (
            lambda model: Admit(max(0, model.time - age), spec, tasks_of(*tasks))
        ),
        st.sampled_from([0, 0, 0, 99, 100, 101]),
        st.sampled_from(SPECS),
        tasks,
    ),
    st.builds(
        lambda worker, picks: lambda model: Assign(worker, [seq_at(model, i) for i in picks]),
        st.sampled_from([b"worker 1", b"worker 2"]),
        picks,
    ),
    st.builds(
        lambda picks, size: (
            lambda model: Finish([(token_at(model, i), b"r" * size) for i in picks])
        ),
        picks,
        st.sampled_from([0, 5, 30, 61]),
    ),
    st.builds(
        lambda i, delay, final: (
            lambda model: Fail(token_at(model, i), FAILURE, model.time + delay, final)
        ),
        small,
        small,
        st.booleans(),
    ),
    st.builds(
        lambda i, delay: lambda model: Expire(token_at(model, i), model.time + delay),
        small,
        small,
    ),
    st.builds(lambda picks: lambda model: Release([token_at(model, i) for i in picks]), picks),
    st.builds(
        lambda picks, started: lambda model: Lose([(token_at(model, i), started) for i in picks]),
        picks,
        st.booleans(),
    ),
    st.builds(
        lambda i, log: lambda model: LoseSaying(token_at(model, i), Loss("w", signal=9), log),
        small,
        st.sampled_from(["", "its last lines"]),
    ),
    st.builds(
        lambda queue, balancer, length, size: (
            lambda _model: Configure(queue, change_of(balancer, length, size))
        ),
        st.sampled_from(["a", "b", "c", "d", ""]),
        st.sampled_from([None, "", "random"]),
        st.sampled_from([None, None, 0, 1, 3, 5]),
        st.sampled_from([None, None, 0, 1, 2, 4]),
    ),
    st.builds(
        lambda queue, back, limit: (
            lambda model: DropWaiting(queue, max(0, model.seq - back), limit)
        ),
        st.sampled_from(["a", "b", "z"]),
        st.integers(0, 2),
        st.integers(0, 3),
    ),
    st.builds(
        lambda values: lambda _model: ConfigureCluster(sorted(values.items())),
        st.fixed_dictionaries(
            {},
            optional={
                "tasks": st.integers(0, 8),
                "queues": st.integers(1, 3),
                "results": st.integers(0, 3),
                "tombstones": st.integers(1, 4),
                "max_losses": st.integers(1, 2),
                "dead": st.integers(0, 2),
                "sweep": st.sampled_from([99, 100]),
                "worker_lease": st.sampled_from([2_999, 3_000]),
            },
        ),
    ),
    st.just(lambda _model: Tick()),
    st.builds(
        lambda dead, new, age: (
            lambda model: Retry(max(0, model.time - age), dead_at(model, dead), new)
        ),
        small,
        st.sampled_from(IDS),
        st.sampled_from([0, 101]),
    ),
    st.builds(
        lambda picks, queue: lambda model: Purge([dead_at(model, i) for i in picks], queue),
        st.lists(small, max_size=2),
        st.sampled_from(["a", "b", "z", ""]),
    ),
)


def seq_at(model: Model, position: int) -> int:
    waiting = sorted(task.seq for task in model.at(Place.WAITING))
    return waiting[position] if position < len(waiting) else position


def token_at(model: Model, position: int) -> int:
    running = sorted(task.token for task in model.at(Place.RUNNING))
    return running[position] if position < len(running) else model.token + position


def dead_at(model: Model, position: int) -> str:
    return model.dead[position].id if position < len(model.dead) else IDS[position]


class Machines(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.driver, self.twin, self.model = Driver(LIMITS), Driver(LIMITS), Model(LIMITS)
        self.now = START

    @rule(
        later=st.sampled_from([-20, 0, 1, 3, 10, 50, 200]),
        recipes=st.lists(recipes, min_size=1, max_size=4),
    )
    def entry(self, later: int, recipes: list[Callable[[Model], Command]]) -> None:
        self.now += later
        batch = [recipe(self.model) for recipe in recipes]
        data = encode_batch(self.now, batch)
        applied = self.driver.apply_raw(data)
        codes, effects = self.model.apply(self.now, batch)
        assert [r.code if isinstance(r, Rejected) else None for r in applied.replies] == codes
        assert applied.effects == effects
        assert self.twin.apply_raw(data) == applied

    @rule()
    def restart(self) -> None:
        self.twin.reopen()

    @precondition(lambda self: self.driver.due() is not None)
    @rule()
    def tick_when_due(self) -> None:
        """A Tick before `due` does nothing; with what is due done, `due` is later."""
        due = self.driver.due()
        assert due is not None
        if due - 1 > self.driver.machine.time:
            self.now = due - 1
            self.entry(0, [lambda _model: Tick()])
            assert self.driver.due() == due
        self.now = max(due, self.driver.machine.time)
        self.entry(0, [lambda _model: Tick()])
        assert (self.driver.due() or self.now + 1) > self.now

    @invariant()
    def answers_agree(self) -> None:
        machine, model = self.driver.machine, self.model
        assert machine.time == model.time
        assert machine.lookup(IDS) == [model.result(task) for task in IDS]
        assert machine.queues() == model.queues()
        for queue in model.totals:
            assert machine.waiting(queue, 0, 100, 1 << 20) == model.waiting(queue)
        running = sorted(model.at(Place.RUNNING), key=lambda task: task.token)
        assert [
            (r.token, r.seq, r.id, r.queue, r.spec, r.attempt, r.failures, r.losses)
            for r in machine.running()
        ] == [
            (t.token, t.seq, t.id, t.queue, t.spec, t.attempt, t.failures, t.losses)
            for t in running
        ]
        page = dead_letters.page(machine.state, "", 1 << 60, 100)
        assert [(t.id, t.state, t.attempts, t.failures, t.losses, t.again) for t in page] == [
            (t.id, t.state, t.attempt, t.failures, t.losses, t.again) for t in reversed(model.dead)
        ]
        for dead in model.dead:
            details = dead_letters.details(machine.state, 1, dead.id)
            assert details is not None
            assert (details.payload, details.losses) == (dead.payload, dead.lost)
        times = [t.due for t in model.at(Place.DELAYED, Place.FINISHED, Place.TOMBSTONE)]
        assert (machine.due is None) == (not times)
        # Evicting early may leave `due` too soon, which costs a Tick, but never too late.
        assert machine.due is None or machine.due <= min(times)

    @invariant()
    def replicas_agree(self) -> None:
        assert self.driver.machine.digest() == self.twin.machine.digest()


TestMachines = Machines.TestCase
TestMachines.settings = settings(
    max_examples=int(os.environ.get("RAFTWORK_EXAMPLES", "60")),
    stateful_step_count=30,
)
