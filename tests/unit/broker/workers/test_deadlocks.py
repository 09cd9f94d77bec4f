"""Which waits of running tasks are ended, and what parked tasks cost a worker."""

from collections.abc import Sequence

import pytest

from raftwork.broker.machine.commands import Command
from raftwork.broker.machine.queries import Standing
from raftwork.broker.machine.state import Ledger
from raftwork.broker.placement.eligibility import ANYWHERE
from raftwork.broker.workers import deadlocks
from raftwork.broker.workers.registry import BEAT_MS
from raftwork.broker.workers.worker import PARKED_MAX
from raftwork.features import edges
from raftwork.features.enqueue import Admit
from raftwork.features.flow_graph import BroadcastKind, Graph, Node, encode_graph
from raftwork.features.flows import Grow
from raftwork.features.limit_settings import ENDLESS
from raftwork.features.limit_settings import changes as limit_changes
from raftwork.features.limits import ConfigureLimit, PauseGates
from raftwork.features.queue_settings import Configure
from raftwork.features.queue_settings import changes as queue_changes
from raftwork.messages import (
    PROTOCOL,
    Deadlock,
    EndWaits,
    Extras,
    Held,
    Holding,
    Hopeless,
    OnConflict,
    Outcome,
    Report,
    Spec,
    State,
    Wait,
    WorkerHello,
    encode_spec,
)
from raftwork.wire import pack
from tests.unit.broker.queues import enqueue
from tests.unit.broker.registry_harness import ME, OTHER, RegistryHarness
from tests.unit.features.flow_cases import graph, task, value_of


@pytest.fixture
def harness() -> RegistryHarness:
    harness = RegistryHarness()
    harness.hello()
    harness.sent()
    return harness


def _say(harness: RegistryHarness, *waits: Wait, routing: bytes = b"w", session: int = 1) -> None:
    report = Report(session, [], [], [], 0, list(waits))
    assert harness.registry.report(routing, report, harness.now, harness.queues.time)


def _ended(harness: RegistryHarness) -> list[Hopeless]:
    return [each for frame in harness.frames(EndWaits) for each in frame.waits]


def _later(harness: RegistryHarness) -> list[Hopeless]:
    harness.now += BEAT_MS
    harness.registry.pass_time(harness.now, harness.queues.time)
    return _ended(harness)


def _queue(harness: RegistryHarness, *ids: str, queue: str = "default") -> None:
    harness.queues.apply(enqueue(*ids, spec=Spec("job", queue)))


def _wait(token: int, *ids: str, turn: int = 1, parked: bool = True, endless: bool = True) -> Wait:
    return Wait(token, turn, parked, list(ids), endless)


# ---- slots --------------------------------------------------------------------------------------


def test_a_parked_task_takes_no_slot_until_it_waits_no_more(harness: RegistryHarness) -> None:
    tokens = harness.give(2)
    worker = harness.registry._workers[ME]
    _queue(harness, "c")
    assert worker.free_slots == 0
    _say(harness, _wait(tokens[0], "c"))
    assert (worker.free_slots, worker.parked) == (1, 1)
    _say(harness, _wait(tokens[0], "c", turn=2, parked=False))
    assert (worker.free_slots, worker.parked) == (0, 0)
    _say(harness, _wait(tokens[0], "c", turn=3), Wait(tokens[1], 4))
    _say(harness, Wait(tokens[0], 5))
    assert (worker.free_slots, worker.parked) == (0, 0)
    assert worker.status("")[4] == 2


@pytest.mark.parametrize("how", ["ends", "is lost", "is stopped"])
def test_a_parked_task_that_is_over_takes_no_slot_either(
    harness: RegistryHarness, how: str
) -> None:
    (token,) = harness.give(1)
    worker = harness.registry._workers[ME]
    _queue(harness, "c")
    _say(harness, _wait(token, "c"))
    if how == "ends":
        harness.report(Outcome(token, True, b"v"))
        harness.commit()
    elif how == "is lost":
        harness.hello(2)
        harness.registry._workers[ME].assignments[token].started = 1
        harness.hello(3)
        harness.commit()
    else:
        harness.registry.closed(token)
    assert (worker.free_slots, worker.parked, worker.busy) == (2, 0, 0)


def test_a_new_session_begins_without_parked_tasks_and_is_told_again(
    harness: RegistryHarness,
) -> None:
    (token,) = harness.give(1)
    worker = harness.registry._workers[ME]
    _queue(harness, "c")
    _say(harness, _wait(token, "c"))
    harness.hello(2, Holding(token, Held.RUNNING, 5))
    assert worker.busy == 1
    _say(harness, _wait(token, "c"), session=2)
    assert (worker.busy, worker.parked) == (0, 1)


def test_a_worker_parks_so_many_and_no_more(
    harness: RegistryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PARKED_MAX == 1_000
    monkeypatch.setattr("raftwork.broker.workers.worker.PARKED_MAX", 1)
    tokens = harness.give(2)
    _queue(harness, "c")
    _say(harness, *(_wait(token, "c") for token in tokens))
    assert harness.registry._workers[ME].parked == 1


def test_all_that_are_parked_count_as_begun_when_their_worker_is_lost(
    harness: RegistryHarness,
) -> None:
    tokens = harness.give(5)
    _queue(harness, "c")
    _say(harness, *(_wait(token, "c") for token in tokens[:2]))
    worker = harness.registry._workers[ME]
    for token in tokens[:2]:
        worker.assignments[token].started = 1
    # Two slots: the two behind the parked ones may have begun, the last one has not.
    assert [begun for _, begun in worker.presumed_started()] == [True] * 4 + [False]


# ---- waits without hope -------------------------------------------------------------------------


def test_a_task_that_waits_for_itself_or_in_a_ring_is_told(harness: RegistryHarness) -> None:
    first, second = harness.give(2)
    _say(harness, _wait(first, "0"))
    assert _ended(harness) == [Hopeless(first, 1, Deadlock.CYCLE)]
    _say(harness, Wait(first, 2))
    _say(harness, _wait(first, "1", turn=3))
    assert _ended(harness) == []
    _say(harness, _wait(second, "0", turn=9))
    assert _ended(harness) == [Hopeless(second, 9, Deadlock.CYCLE)], "the newest, and no other"
    harness.beats()
    assert _ended(harness) == []


def test_a_wait_that_gives_up_by_itself_holds_nobody_up(harness: RegistryHarness) -> None:
    first, second = harness.give(2)
    _say(harness, _wait(first, "1", endless=False))
    _say(harness, _wait(second, "0"))
    assert _ended(harness) == []
    _say(harness, _wait(first, "1", turn=2, endless=False))
    assert _ended(harness) == [Hopeless(first, 2, Deadlock.CYCLE)], "its own comes to nothing"


def test_a_task_that_waits_for_several_goes_on_with_any_of_them(harness: RegistryHarness) -> None:
    first, second = harness.give(2)
    _say(harness, _wait(first, "0", "1"))
    assert _ended(harness) == []
    _say(harness, _wait(second, "0"))
    assert _ended(harness) == [Hopeless(second, 1, Deadlock.CYCLE)]


def test_what_is_not_known_or_has_ended_is_no_reason(harness: RegistryHarness) -> None:
    first, second = harness.give(2)
    harness.report(Outcome(second, True, b"v"))
    harness.commit()
    _say(harness, _wait(first, "0", "nobody's"))
    _say(harness, _wait(first, "0", "1", turn=2))
    assert _ended(harness) == []


def test_the_last_slot_is_not_given_to_a_wait_for_a_slot(harness: RegistryHarness) -> None:
    first, second = harness.give(2)
    _queue(harness, "c", "d")
    _say(harness, _wait(first, "c", parked=False))
    assert _ended(harness) == []
    _say(harness, _wait(second, "d", parked=False))
    assert _ended(harness) == [Hopeless(second, 1, Deadlock.SLOTS)]


def test_a_slot_elsewhere_a_parked_task_and_another_queue_leave_hope(
    harness: RegistryHarness,
) -> None:
    first, second = harness.give(2)
    _queue(harness, "c")
    _queue(harness, "e", queue="elsewhere")
    _say(harness, _wait(first, "c"), _wait(second, "c", parked=False))
    assert _ended(harness) == [], "one is parked"
    _say(harness, _wait(first, "e", turn=2, parked=False))
    assert _ended(harness) == [], "no worker of that queue is there yet"
    harness.hello(1, me=OTHER, routing=b"v")
    _say(harness, _wait(first, "c", turn=3, parked=False))
    assert _ended(harness) == [], "another worker has slots"


def test_a_parked_task_that_goes_on_by_itself_is_no_hope_for_a_slot(
    harness: RegistryHarness,
) -> None:
    """It has none to give: it takes one when it goes on."""
    first, second = harness.give(2)
    _say(harness, _wait(first, "nobody", endless=False))
    (third,) = harness.give(1)
    _queue(harness, "c", "d")
    _say(harness, _wait(second, "c", parked=False))
    assert _ended(harness) == []
    _say(harness, _wait(third, "d", parked=False))
    assert _ended(harness) == [Hopeless(third, 1, Deadlock.SLOTS)]


@pytest.mark.parametrize("its", ["w", "v"])
def test_a_slot_of_another_worker_is_no_hope_for_a_task_of_this_one(
    harness: RegistryHarness, its: str
) -> None:
    first, second = harness.give(2)
    hello = WorkerHello(PROTOCOL, "v", OTHER, 1, "h", 1, 1, ["default"], [], draining=False)
    harness.registry.hello(b"v", hello, harness.now)
    node = Node(1, pack([[], {}]), broadcast=BroadcastKind.VALUES)
    graph = encode_graph(
        Graph([encode_spec(Spec("job", "default"))], [node, Node(0, pack(None), [0])])
    )
    harness.queues.apply(Grow(0, "f", 1_000, False, graph, [("default", [its])]))
    _say(harness, _wait(first, "f/1.1", parked=False))
    assert _ended(harness) == []
    _say(harness, _wait(second, "f/1.1", parked=False))
    assert _ended(harness) == [Hopeless(second, 1, Deadlock.SLOTS)] * (its == "w")


def test_a_worker_that_rests_is_no_hope_unless_it_has_a_slot(harness: RegistryHarness) -> None:
    """With its slots held by tasks that wait, too, all waited for ever."""
    first, second = harness.give(2)
    _queue(harness, "c", "d")
    worker = harness.registry._workers[ME]
    worker.breaker.pause, worker.breaker.allowance = 1_000, 0
    _say(harness, _wait(first, "c"))
    _say(harness, _wait(second, "d", parked=False))
    assert _ended(harness) == [], "one slot is free"
    _say(harness, _wait(first, "c", turn=2, parked=False))
    assert _ended(harness) == [Hopeless(first, 2, Deadlock.SLOTS)]


def test_what_becomes_hopeless_later_is_found_with_a_beat(harness: RegistryHarness) -> None:
    first, second = harness.give(2)
    _queue(harness, "c", "d")
    harness.hello(1, me=OTHER, routing=b"v")
    _say(harness, _wait(first, "c", parked=False), _wait(second, "d", parked=False))
    assert _ended(harness) == []
    harness.registry.goodbye(b"v", 1, harness.now)
    assert len(_later(harness)) == 1


def test_what_may_have_been_lost_is_told_with_each_beat_until_the_worker_says_more(
    harness: RegistryHarness,
) -> None:
    (token,) = harness.give()
    _say(harness, _wait(token, "0"))
    told = [Hopeless(token, 1, Deadlock.CYCLE)]
    assert _ended(harness) == told
    assert _later(harness) == told
    _say(harness, Wait(token, 2))
    assert _later(harness) == []


def test_a_worker_is_spared_only_while_another_one_has_a_slot_that_runs(
    harness: RegistryHarness,
) -> None:
    """One short of memory had a free slot, and all others had tasks that waited: for ever."""
    first, second = harness.give(2)
    _queue(harness, "c", "d")
    harness.hello(1, me=OTHER, routing=b"v")
    eligibility = harness.registry.eligibility
    eligibility.spare(frozenset([OTHER]), frozenset([OTHER]))
    assert eligibility.excluded("default", ANYWHERE, spares=True) == {OTHER}
    _say(harness, _wait(first, "c", parked=False), _wait(second, "d", parked=False))
    assert eligibility.excluded("default", ANYWHERE, spares=True) == frozenset()
    _say(harness, _wait(second, "d", turn=2))
    assert eligibility.excluded("default", ANYWHERE, spares=True) == {OTHER}


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[Sequence[int]]]:
    """What holds tasks back, by their numbers, as a feature would say it."""
    held: dict[int, list[Sequence[int]]] = {}

    def holds(_ledger: Ledger, seq: int) -> list[Sequence[int]]:
        return held.get(seq, [])

    monkeypatch.setattr(deadlocks, "_HOLDS", (holds,))
    return held


def test_a_task_whose_gate_the_waiting_ones_fill_is_without_hope(
    harness: RegistryHarness, held: dict[int, list[Sequence[int]]]
) -> None:
    first, second = harness.give(2)
    _queue(harness, "c")
    numbers = [run.seq for run in harness.queues.machine.running()]
    held[3] = [numbers]  # the gate lets two in
    _say(harness, _wait(first, "c"))
    assert _ended(harness) == [], "the other one may give it back"
    _say(harness, _wait(second, "c"))
    assert _ended(harness) == [Hopeless(second, 1, Deadlock.GATE)]


def test_one_that_waits_again_and_again_delays_no_look_at_another(
    harness: RegistryHarness, held: dict[int, list[Sequence[int]]]
) -> None:
    first, second = harness.give(2)
    _queue(harness, "c")
    numbers = [run.seq for run in harness.queues.machine.running()]
    for turn in range(1, 200, 2):
        _say(harness, _wait(first, "c", turn=turn))
        _say(harness, Wait(first, turn + 1))
    _say(harness, _wait(second, "c"))
    assert _ended(harness) == []
    held[3] = [numbers[1:]]
    assert _later(harness) == [Hopeless(second, 1, Deadlock.GATE)]


def test_a_blocked_task_waits_for_each_of_those_before_it(harness: RegistryHarness) -> None:
    harness.give(2)
    unmet = [(9, 0, 1, 1), (9, 1, 2, 1), (9, 2, 2, 1), (8, 0, 4, 1)]
    edges.add(harness.queues.machine.state, unmet, met=[(9, 3, 3, 1)])
    assert list(edges.holds(harness.queues.machine.state, 9)) == [(1,), (2,)]


def test_who_waits_for_a_flow_waits_for_its_tasks(harness: RegistryHarness) -> None:
    """A flow is in no queue."""
    waiting, _ = harness.give(2)
    _say(harness, _wait(waiting, "f"))
    nodes = [task(), value_of(0)]
    harness.queues.apply(Grow(harness.queues.time, "f", 1_000, False, graph(*nodes)))
    assert _later(harness) == []
    machine = harness.queues.machine
    (flow,) = machine.standings(["f"])
    assert (flow.queue, flow.state) == ("", State.BLOCKED)
    assert machine.standing(flow.seq) == flow


def _admit(*ids: str, spec: Spec, key: str = "", **extras: str) -> Admit:
    tasks = [[id_, b"", key, Extras(**extras)] for id_ in ids]  # type: ignore[arg-type]
    return Admit(0, encode_spec(spec), pack(tasks))


def _give(harness: RegistryHarness, *commands: Command) -> list[int]:
    for command in commands:
        harness.queues.apply(command)
    return harness.assign()


LIMITED = Spec("job", "default", limits=("one",))


def test_a_limit_that_the_waiting_tasks_fill_is_one_of_these_gates(
    harness: RegistryHarness,
) -> None:
    allows_two = ConfigureLimit("one", limit_changes(concurrency=2))
    first, second = _give(harness, allows_two, _admit("a", "b", spec=LIMITED))
    harness.queues.apply(_admit("c", spec=LIMITED))
    _say(harness, _wait(first, "c"))
    assert _ended(harness) == [], "the other one may give it back"
    _say(harness, _wait(second, "c"))
    assert _ended(harness) == [Hopeless(second, 1, Deadlock.GATE)]


def test_a_limit_of_another_tenant_a_rate_and_a_pause_leave_hope(harness: RegistryHarness) -> None:
    limits = [
        ConfigureLimit("each", limit_changes(concurrency=1, per="tenant")),
        ConfigureLimit("slow", limit_changes(rate="1/h")),
        PauseGates("slow", ENDLESS),
    ]
    each, slow = (Spec("job", "default", limits=(name,)) for name in ("each", "slow"))
    (token,) = _give(harness, *limits, _admit("a", spec=each, tenant="ada"))
    harness.queues.apply(_admit("b", spec=each, tenant="bob"))
    harness.queues.apply(_admit("c", spec=slow))
    _say(harness, _wait(token, "b"))
    _say(harness, _wait(token, "c", turn=2))
    assert _ended(harness) == []


def test_a_queue_that_the_waiting_tasks_fill_is_such_a_gate_too(harness: RegistryHarness) -> None:
    (token,) = harness.give(1)
    harness.queues.apply(Configure("default", queue_changes(concurrency=1)))
    _queue(harness, "c")
    _say(harness, _wait(token, "c"))
    assert _ended(harness) == [Hopeless(token, 1, Deadlock.GATE)]


def test_a_unique_key_that_the_waiting_task_has_is_such_a_gate_too(
    harness: RegistryHarness,
) -> None:
    spec = Spec("job", "default", on_conflict=OnConflict.RERUN)
    (token,) = _give(harness, _admit("a", spec=spec, unique="k"))
    harness.queues.apply(_admit("b", spec=spec, unique="k"))
    assert harness.state("b") is State.BLOCKED
    _say(harness, _wait(token, "b"))
    assert _ended(harness) == [Hopeless(token, 1, Deadlock.GATE)]


def test_a_place_in_order_behind_the_waiting_task_is_such_a_gate_too(
    harness: RegistryHarness,
) -> None:
    spec = Spec("job", "default", ordered=True)
    (token,) = _give(harness, _admit("a", spec=spec, key="k"))
    harness.queues.apply(_admit("b", "c", spec=spec, key="k"))
    harness.queues.apply(_admit("d", spec=spec, key="other"))
    _say(harness, _wait(token, "d"))
    assert _ended(harness) == []
    _say(harness, _wait(token, "c", turn=2))
    assert _ended(harness) == [Hopeless(token, 2, Deadlock.GATE)]


def test_behind_too_many_tasks_nothing_is_found(
    harness: RegistryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlocks, "TASKS_MAX", 1)
    first, second = harness.give(2)
    _say(harness, _wait(first, "1"))
    _say(harness, _wait(second, "0"))
    assert _ended(harness) == []


def test_a_report_that_says_the_same_again_and_again_costs_one_look(
    harness: RegistryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    (token,) = harness.give(1)
    _queue(harness, "c")
    looks = list[Sequence[str]]()
    standings = harness.queues.machine.standings

    def look(ids: Sequence[str]) -> list[Standing]:
        looks.append(ids)
        return standings(ids)

    monkeypatch.setattr(harness.queues.machine, "standings", look)
    _say(harness, *[_wait(token, "c", turn=turn) for turn in range(1_000)])
    assert looks == [["c"]]


def test_wide_waits_are_looked_at_a_few_with_each_beat(
    harness: RegistryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one worker says may not take the time of all others."""
    monkeypatch.setattr(deadlocks, "WORK_A_BEAT", 250)
    harness.hello(2, slots=40)
    tokens = harness.give(40)
    ids = [f"c{number}" for number in range(100)]
    _queue(harness, *ids)
    harness.beats()
    asked = 0
    standings = harness.queues.machine.standings

    def count(ids: Sequence[str]) -> list[Standing]:
        nonlocal asked
        asked += len(ids)
        return standings(ids)

    monkeypatch.setattr(harness.queues.machine, "standings", count)
    for beat in range(5):
        _say(harness, *[_wait(token, *ids, turn=beat) for token in tokens], session=2)
        assert asked <= 500
        asked = 0
        harness.beats()
        assert 100 <= asked <= 500
        asked = 0


def test_a_wait_that_is_not_looked_at_at_once_is_with_a_later_beat(
    harness: RegistryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlocks, "WORK_A_BEAT", 1)
    harness.beats()
    first, second = harness.give(2)
    _say(harness, _wait(first, "0"), _wait(second, "1", turn=2))
    assert _ended(harness) == [Hopeless(first, 1, Deadlock.CYCLE)]
    assert max(_later(harness) + _later(harness)) == Hopeless(second, 2, Deadlock.CYCLE)


def test_behind_too_much_work_nothing_is_found(
    harness: RegistryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlocks, "WORK_MAX", 3)
    first, second = harness.give(2)
    _say(harness, _wait(first, "1"))
    _say(harness, _wait(second, "0"))
    assert _ended(harness) == []


def test_a_task_that_waits_for_too_many_to_be_told_goes_on(harness: RegistryHarness) -> None:
    (token,) = harness.give(1)
    _queue(harness, "c")
    _say(harness, _wait(token, "c"))
    _say(harness, _wait(token, turn=2))
    assert harness.registry._workers[ME].parked == 1
    harness.beats()
    assert _ended(harness) == []
