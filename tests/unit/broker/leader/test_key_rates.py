"""What a key may enqueue: every request that makes tasks counts as many as it makes."""

import pytest

from raftwork.broker.access.access_list import Grant
from raftwork.broker.access.rates import BURST_MS
from raftwork.broker.machine.commands import Assign, Fail, Finish, Tick
from raftwork.errors import ProtocolError, QueueFull, UnknownSchedule
from raftwork.features.catalogue import FEATURES
from raftwork.features.enqueue import Enqueue
from raftwork.features.feature import Change
from raftwork.features.flow_again import RetryFlow
from raftwork.features.flow_callbacks import AddCallback
from raftwork.features.flow_graph import EdgeKind, Graph, Node, encode_graph
from raftwork.features.flows import Grow, SubmitFlow
from raftwork.features.schedule_plan import Overlap
from raftwork.features.schedule_records import (
    BackfillSchedule,
    ShowSchedule,
    TriggerSchedule,
)
from raftwork.features.signals import SaySignal
from raftwork.features.unique import EnqueueUnique
from raftwork.keys import Role
from raftwork.messages import Extras, Failure, Spec, encode_failure, encode_spec
from raftwork.messages.registry import Frame
from raftwork.wire import pack
from tests.unit.broker.queues import Queues
from tests.unit.broker.scheduling import CLIENT, NEW_YEAR, Scheduling
from tests.unit.features.flow_cases import edge, join

DAY = 86_400_000
ADA = Grant("ada", frozenset({Role.CLIENT}), tasks_per_second=1)
SPEC = encode_spec(Spec("job", "default"))


def graph(tasks: int, callbacks: int = 0) -> bytes:
    nodes = [Node(1, pack([[], {}])) for _ in range(tasks)]
    end = edge(tasks, EdgeKind.NEEDS_END)
    hung = [Node(1, pack([[], {}]), [end], f"c{at}") for at in range(callbacks)]
    return encode_graph(Graph([SPEC], [*nodes, join(*range(tasks))], hung))


def tasks(count: int, name: str = "t", *, unique: bool = False) -> bytes:
    extras = [Extras(unique=f"{name}{at}") if unique else Extras() for at in range(count)]
    return pack([[f"{name}{at}", b"\x92\x90\x80", "", each] for at, each in enumerate(extras)])


@pytest.fixture
def cluster() -> Scheduling:
    """With a daily schedule, and a flow of three tasks of which two have failed."""
    queues = Queues(time=NEW_YEAR)
    queues.apply(Grow(NEW_YEAR, "failed", 10**9, False, graph(3)))
    found = queues.db.execute("SELECT seq FROM task WHERE id LIKE 'failed/%' ORDER BY seq")
    queues.apply(Assign(b"w", [seq for (seq,) in found]))
    first, *others = sorted(run.token for run in queues.machine.running())
    queues.apply(Finish([(first, pack(1))]))
    for token in others:
        queues.apply(Fail(token, encode_failure(Failure("E", "no", "")), 0))
    queues.apply(Tick())
    made = Scheduling(queues=queues)
    made.create("daily", cron="0 12 * * *")
    return made


def enqueue(count: int) -> Enqueue:
    return Enqueue(0, NEW_YEAR, SPEC, tasks(count, "then"))


MAKES: dict[type, tuple[Frame, int]] = {
    Enqueue: (Enqueue(0, NEW_YEAR, SPEC, tasks(30)), 30),
    EnqueueUnique: (EnqueueUnique(0, NEW_YEAR, SPEC, tasks(30, unique=True)), 30),
    SubmitFlow: (SubmitFlow(0, NEW_YEAR, "f", 1_000, False, graph(30)), 30),
    AddCallback: (AddCallback(0, "failed", graph(0, callbacks=20)), 20),
    RetryFlow: (RetryFlow(0, "failed"), 2),
    TriggerSchedule: (TriggerSchedule(0, "daily", "by hand"), 1),
    BackfillSchedule: (
        BackfillSchedule(0, "daily", NEW_YEAR - 30 * DAY, NEW_YEAR - 1, Overlap.ALLOW),
        30,
    ),
}


def test_each_request_that_enters_tasks_is_one_of_these() -> None:
    rules = (rule for feature in FEATURES for rule in feature.rules)
    grow = {rule.request for rule in rules if isinstance(rule, Change) and rule.grows is not None}
    assert MAKES.keys() | {SaySignal} == grow  # that makes none, and needs room on the disks


@pytest.mark.parametrize("kind", MAKES, ids=lambda each: each.__name__)
def test_a_request_counts_as_the_tasks_that_it_makes(cluster: Scheduling, kind: type) -> None:
    request, makes = MAKES[kind]
    before = cluster.harness.now
    cluster.ask(enqueue(1)._replace(tasks=tasks(1, "first")), ADA)
    state = cluster.harness.queues.machine.state
    old = state.unfinished
    cluster.ask(request, ADA)
    assert state.unfinished - old == makes
    took = cluster.harness.now - before
    owed_ms = (1 + makes) * 1_000 // ADA.tasks_per_second - BURST_MS - took
    with pytest.raises(QueueFull, match=rf"in {owed_ms / 1_000:.1f} s$"):
        cluster.ask(enqueue(1), ADA)
    cluster.harness.now += owed_ms
    cluster.ask(enqueue(1), ADA)


def test_while_a_backfill_is_under_way_it_counts_as_all_that_it_could_make(
    cluster: Scheduling,
) -> None:
    """Else many at a time would make many times what the key may."""
    request, _ = MAKES[BackfillSchedule]
    lead, now = cluster.harness.lead, cluster.harness.now
    lead.request(CLIENT, request._replace(request=90), 100, now, ADA)  # type: ignore[attr-defined]
    with pytest.raises(QueueFull, match=r"in 9999\.0 s"):
        cluster.ask(enqueue(1), ADA)


def test_what_is_refused_for_another_reason_before_it_is_counted_costs_nothing(
    cluster: Scheduling,
) -> None:
    request, _ = MAKES[BackfillSchedule]
    with pytest.raises(UnknownSchedule):
        cluster.ask(request._replace(id="none"), ADA)  # type: ignore[attr-defined]
    cluster.ask(enqueue(30), ADA)


def test_what_cannot_be_read_is_refused_as_that(cluster: Scheduling) -> None:
    for request in (enqueue(1)._replace(tasks=b"\xc1"), SubmitFlow(0, 0, "g", 1, False, b"\xc1")):
        with pytest.raises(ProtocolError, match="msgpack"):
            cluster.ask(request, ADA)


def test_a_key_without_a_rate_and_a_request_that_makes_nothing_are_free(
    cluster: Scheduling,
) -> None:
    free = Grant("eve", ADA.roles)
    cluster.ask(MAKES[Enqueue][0], free)
    cluster.ask(enqueue(30), ADA)
    cluster.ask(ShowSchedule(0, "daily"), ADA)
    cluster.ask(enqueue(1)._replace(tasks=tasks(30, "free")), free)
