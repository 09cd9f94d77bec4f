"""The dispatcher: order, paging, free slots before holding ahead, and never a task twice."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftwork.broker.dispatch import backlog as pages
from raftwork.broker.dispatch import dispatcher, skipped
from raftwork.broker.dispatch.backlog import PAGE_TASKS, Backlog
from raftwork.broker.dispatch.dispatcher import Dispatcher
from raftwork.broker.machine.commands import (
    Assign,
    Command,
    Fail,
    Finish,
    Lose,
    Release,
)
from raftwork.broker.placement.balancers import BALANCERS, Balancer, Candidate
from raftwork.broker.placement.eligibility import Eligibility
from raftwork.broker.workers.worker import Worker
from raftwork.features.effects import (
    Assigned,
    AttemptEnded,
    Effect,
    GatesFreed,
    LimitChanged,
    NotAssigned,
    Queued,
    QueuedInLane,
    Replaced,
    Requeued,
    Settled,
    Withdrawn,
)
from raftwork.features.enqueue import Admit
from raftwork.features.purge_queue import DropWaiting
from raftwork.messages import Failure, Spec, decode_spec, encode_failure, encode_spec
from raftwork.wire import pack
from tests.unit.broker.queues import Queues, enqueue

ONCE = Spec("job", "default", at_most_once=True)
FAILURE = encode_failure(Failure("E", "", ""))


def worker(name: str, slots: int = 1, window: int = 0, *queues: str) -> Worker:
    return Worker(
        name.encode().ljust(16, b"."),
        0,
        name=name,
        slots=slots,
        window=window,
        queues=frozenset(queues or ("default",)),
        routing=name.encode(),
    )


def dispatcher_of(queues: Queues, name: str = "weighted") -> Dispatcher:
    balancer = BALANCERS[name](Random(1))
    return Dispatcher(
        queues.machine, lambda _queue: balancer, Eligibility(lambda *_, wait_for_absent: True)
    )


class DispatcherHarness:
    """A dispatcher between a machine and workers; entries are applied when told to."""

    def __init__(self, *workers: Worker) -> None:
        self.queues = Queues()
        self.workers = list(workers)
        self.dispatcher = dispatcher_of(self.queues)
        self.eligibility = self.dispatcher._eligibility
        self.log: list[Command] = []  # proposed, not applied
        self.handed: list[tuple[int, int]] = []  # (token, seq), in the order of the log

    def propose(self, *commands: Command) -> None:
        self.log.extend(commands)

    def plan(self) -> list[Assign]:
        assigns = self.dispatcher.plan(self.workers)
        self.log.extend(assigns)
        return assigns

    def plan_twice(self) -> None:
        """The second time finds what the first one emptied."""
        for _ in range(2):
            self.dispatcher.needs_plan = True
            self.plan()

    def commit(self, count: int | None = None) -> list[Effect]:
        """Apply the oldest proposed commands, an entry each."""
        batch, self.log = self.log[:count], self.log[len(self.log[:count]) :]
        effects = [e for command in batch for e in self.queues.effects(command)]
        for effect in effects:
            self._act(effect)
        return effects

    def _act(self, effect: Effect) -> None:
        match effect:
            case Queued():
                self.dispatcher.queued(effect)
            case QueuedInLane() | Requeued() | Withdrawn() | Replaced():
                self.dispatcher.moved(effect)
            case Assigned():
                for token, seq, _ in effect.tasks:
                    assert self.dispatcher.assigned(seq).worker.incarnation == effect.worker
                    self.handed.append((token, seq))
            case Settled(token=0):
                self.dispatcher.ended(effect.queue, effect.seq)
            case Settled() | AttemptEnded():
                self.dispatcher.closed(effect.seq)
            case NotAssigned():
                pytest.fail("a task was proposed that does not wait")
            case GatesFreed():
                self.dispatcher.freed(effect.names)
            case LimitChanged():
                self.dispatcher.limit_changed(effect.limit)
            case _:
                pass

    def over(self, *commands: Command) -> None:
        """Tokens end: their workers have room again."""
        holder = {run.token: run.worker for run in self.queues.machine.running()}
        self.propose(*commands)
        self.commit()
        for token in set(holder) - {run.token for run in self.queues.machine.running()}:
            for w in self.workers:
                w.busy -= w.incarnation == holder[token]
        self.dispatcher.needs_plan = True

    @property
    def seqs(self) -> list[int]:
        return [seq for _, seq in self.handed]


def planned(assigns: list[Assign]) -> dict[str, list[int]]:
    return {a.worker.rstrip(b".").decode(): a.seqs for a in assigns}


# ---- order and pages --------------------------------------------------------------------------


def test_tasks_are_handed_out_in_the_order_in_which_they_came() -> None:
    harness = DispatcherHarness(worker("w", 100))
    harness.propose(enqueue("a", "b"), enqueue("c"))
    harness.commit()
    assert planned(harness.plan()) == {"w": [1, 2, 3]}


def test_a_task_that_waits_again_stands_in_front_of_younger_ones() -> None:
    harness = DispatcherHarness(worker("w", 2))
    harness.propose(enqueue(*"abcdef"))
    harness.commit()
    harness.plan()
    harness.commit()
    harness.over(Release([2]), Lose([(1, False)]))
    assert planned(harness.plan()) == {"w": [1, 2]}


def test_a_backlog_larger_than_a_page_is_handed_out_whole_and_in_order() -> None:
    w = worker("w", 700)
    harness = DispatcherHarness(w)
    for i in range(6):
        harness.propose(enqueue(*(f"{i}-{j}" for j in range(PAGE_TASKS // 2 + 7))))
    harness.commit()
    while harness.plan():
        harness.commit()
        w.busy = 0
        harness.dispatcher.needs_plan = True
    assert harness.seqs == list(range(1, 6 * (PAGE_TASKS // 2 + 7) + 1))


def test_memory_holds_a_page_whatever_the_backlog() -> None:
    queues = Queues()
    backlog = Backlog("default", queues.machine, more=False)
    for i in range(8):
        for effect in queues.effects(enqueue(*(f"{i}-{j}" for j in range(1_000)))):
            assert isinstance(effect, Queued)
            backlog.queued(effect)
    seen: list[int] = []
    while taken := backlog.take(100, 1 << 30, safe=False):
        seen.extend(task.seq for task in taken)
        assert len(backlog._page) + len(backlog._head) <= PAGE_TASKS
    assert seen == list(range(1, 8_001))
    assert not backlog


def test_memory_holds_a_bounded_number_of_bytes() -> None:
    queues = Queues()
    backlog = Backlog("default", queues.machine, more=False)
    big = b"x" * (1 << 20)
    for i in range(20):
        (effect,) = queues.effects(enqueue(f"{i}", payload=big))
        assert isinstance(effect, Queued)
        backlog.queued(effect)
        assert backlog._bytes <= pages.PAGE_BYTES
    while taken := backlog.take(1, 1 << 30, safe=False):
        assert backlog._bytes <= pages.PAGE_BYTES + len(taken[0].payload)
    assert backlog._bytes == 0


def test_what_is_reserved_is_bounded_in_tasks_and_bytes() -> None:
    harness = DispatcherHarness(worker("w", 100_000))
    for i in range(dispatcher.RESERVED_MAX // 1_000 + 1):
        harness.propose(enqueue(*(f"{i}-{j}" for j in range(1_000))))
    harness.commit()
    assert sum(len(a.seqs) for a in harness.plan()) == dispatcher.RESERVED_MAX
    harness.commit()
    assert sum(len(a.seqs) for a in harness.plan()) == 1_000  # applied: there is room for more
    harness.commit()
    for i in range(80):
        harness.propose(enqueue(f"big-{i}", payload=b"x" * (1 << 20)))
    harness.commit()
    assert sum(len(a.seqs) for a in harness.plan()) == dispatcher.RESERVED_BYTES >> 20


def test_a_new_leader_finds_the_whole_backlog() -> None:
    harness = DispatcherHarness()
    harness.propose(enqueue("a", "b"), enqueue("c", spec=Spec("job", "other")))
    harness.commit()
    harness.dispatcher = dispatcher_of(harness.queues)
    harness.workers = [worker("w", 10, 0, "default", "other")]
    assert planned(harness.plan()) == {"w": [1, 2, 3]}


# ---- never twice ------------------------------------------------------------------------------


def test_a_task_on_its_way_is_not_handed_out_again_when_more_come() -> None:
    """The task still stands in the table; a page read afresh must not hold it."""
    harness = DispatcherHarness(worker("w", 10))
    harness.propose(enqueue("a"), enqueue("b"))
    harness.commit(1)
    harness.plan()  # Assign(a) goes behind the second enqueue
    harness.dispatcher.needs_plan = True
    harness.plan()  # finds the backlog empty
    harness.commit(1)  # b
    assert planned(harness.plan()) == {"w": [2]}
    harness.commit()
    assert harness.seqs == [1, 2]


def test_a_retry_on_its_way_is_not_read_again_with_the_next_page() -> None:
    harness = DispatcherHarness(worker("w", 10_000))
    harness.propose(enqueue("a", spec=Spec("job", "default", retries=3)))
    harness.commit()
    harness.plan()
    harness.commit()
    harness.over(Fail(1, FAILURE, 0))
    harness.plan()  # Assign of the retry, not applied yet
    batch = enqueue(*(f"{i}" for i in range(PAGE_TASKS + 1)))
    (effect,) = harness.queues.effects(batch)
    assert isinstance(effect, Queued)
    harness.dispatcher.queued(effect)
    harness.plan()
    harness.commit()
    assert harness.seqs == [1, 1, *range(2, PAGE_TASKS + 3)]


def test_a_task_that_waits_again_in_an_emptied_queue_is_handed_out_again() -> None:
    harness = DispatcherHarness(worker("w", 10))
    harness.propose(enqueue("a", "b"))
    harness.commit()
    for _ in range(3):
        harness.dispatcher.needs_plan = True
        harness.plan()
        harness.commit()
    harness.over(Release([2]))
    assert planned(harness.plan()) == {"w": [2]}


moves = st.lists(
    st.sampled_from(["enqueue", "batch", "plan", "commit", "one", "finish", "release", "fail"]),
    max_size=60,
)


@settings(max_examples=300)
@given(
    moves=moves,
    seed=st.integers(0, 1 << 20),
    page=st.sampled_from([2, 4, 2_000]),
    lacked=st.sampled_from(["nothing", "odd"]),
)
def test_in_any_interleaving_no_task_is_handed_out_twice_or_forgotten(
    moves: list[str], seed: int, page: int, lacked: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "PAGE_TASKS", page)
        patch.setattr(skipped, "SKIPPED_TASKS_MAX", page)
        rng = Random(seed)
        harness = DispatcherHarness(worker("v", 2, 3, "default", "b"), worker("w", 1, 0, "default"))
        harness.eligibility.does_not_know(harness.workers[1].incarnation, lacked)
        names = 0

        def end(kind: str) -> None:
            running = [run.token for run in harness.queues.machine.running()]
            if not running:
                return
            harness.commit()  # a token ends only after what was proposed before
            token = rng.choice(running)
            if kind == "finish":
                harness.over(Finish([(token, b"")]))
            elif kind == "release":
                harness.over(Release([token]))
            else:
                harness.over(Fail(token, FAILURE, 0))

        for move in moves:
            if move in {"enqueue", "batch"}:
                count = 1 if move == "enqueue" else 5
                spec = Spec(rng.choice(["job", "odd"]), rng.choice(["default", "b"]), retries=100)
                harness.propose(enqueue(*(f"{names + i}" for i in range(count)), spec=spec))
                names += count
            elif move == "plan":
                harness.plan_twice()
            elif move == "commit":
                harness.commit()
            elif move == "one":
                harness.commit(1)
            else:
                end(move)
        # Whatever is left is handed out, once each.
        harness.commit()
        for _ in range(2 * names + 2):
            for w in harness.workers:
                w.busy = 0
            harness.dispatcher.needs_plan = True
            harness.plan()
            harness.commit()
        assert not any(q.queued for q in harness.queues.machine.queues())
        running = list(harness.queues.machine.running())
        held = Counter(run.seq for run in running)
        assert not held or max(held.values()) == 1
        names_of_w = {decode_spec(r.spec).name for r in running if r.worker.startswith(b"w")}
        assert lacked not in names_of_w


# ---- free slots and holding ahead -------------------------------------------------------------


def test_free_slots_are_filled_before_anything_is_held_ahead() -> None:
    harness = DispatcherHarness(worker("v", 2, 4), worker("w", 2, 4))
    harness.propose(enqueue(*"abcd"))
    harness.commit()
    assert sorted(map(len, planned(harness.plan()).values())) == [2, 2]


def test_a_window_takes_what_free_slots_do_not() -> None:
    harness = DispatcherHarness(worker("w", 2, 3))
    harness.propose(enqueue(*"abcdefgh"))
    harness.commit()
    assert planned(harness.plan()) == {"w": [1, 2, 3, 4, 5]}


def test_without_a_window_nothing_is_held_ahead() -> None:
    harness = DispatcherHarness(worker("w", 2, 0))
    harness.propose(enqueue(*"abcd"))
    harness.commit()
    assert planned(harness.plan()) == {"w": [1, 2]}
    harness.dispatcher.needs_plan = True
    assert harness.plan() == []


def test_tasks_that_run_at_most_once_go_only_to_free_slots() -> None:
    harness = DispatcherHarness(worker("w", 2, 10))
    harness.propose(enqueue(*"abcd", spec=ONCE))
    harness.commit()
    assert planned(harness.plan()) == {"w": [1, 2]}


def test_nobody_is_held_ahead_past_a_task_that_waits_for_a_free_slot() -> None:
    harness = DispatcherHarness(worker("w", 1, 10))
    harness.propose(enqueue("a", "b"), enqueue("c", spec=ONCE), enqueue("d"))
    harness.commit()
    assert planned(harness.plan()) == {"w": [1, 2]}


def test_a_task_that_lost_a_worker_goes_only_to_a_free_slot() -> None:
    harness = DispatcherHarness(worker("w", 1, 10))
    harness.propose(enqueue("a", "b"))
    harness.commit()
    harness.plan()
    harness.commit()
    harness.over(Lose([(1, True)]))
    assert harness.workers[0].busy == 1  # b
    assert harness.plan() == []
    harness.over(Finish([(2, b"")]))
    assert planned(harness.plan()) == {"w": [1]}


@pytest.mark.parametrize("queue", ["default", "other"])
def test_a_careful_task_does_not_starve_behind_tasks_held_ahead(queue: str) -> None:
    """Whoever is held ahead takes the next free slot, so nobody may be while one waits for it."""
    w = worker("w", 1, 4, "default", "other")
    harness = DispatcherHarness(w)
    harness.propose(enqueue(*(f"{i}" for i in range(50))))
    harness.commit()
    harness.plan()
    harness.commit()
    harness.propose(enqueue("once", spec=Spec("job", queue, at_most_once=True)))
    harness.propose(enqueue(*(f"later-{i}" for i in range(50)), spec=Spec("job", queue)))
    harness.commit()
    for _ in range(100):
        if 51 in harness.seqs:
            break
        running = [run.token for run in harness.queues.machine.running()]
        harness.over(Finish([(running[0], b"")]))
        harness.plan()
        harness.commit()
    assert harness.seqs.index(51) <= (50 if queue == "default" else 10)


def test_planning_again_reads_a_waiting_careful_task_once() -> None:
    harness = DispatcherHarness(worker("w", 1, 256))
    harness.propose(enqueue(*(f"{i}" for i in range(200)), spec=ONCE))
    harness.commit()
    harness.plan()
    harness.commit()
    queries: list[str] = []
    harness.queues.db.trace_v2(1, lambda event: queries.append(str(event)))  # every statement
    for _ in range(10):
        harness.dispatcher.needs_plan = True
        assert harness.plan() == []
    assert queries == []


# ---- whom ---------------------------------------------------------------------------------------


def test_a_worker_gets_only_what_its_queues_hold() -> None:
    harness = DispatcherHarness(worker("v", 9, 0, "a"), worker("w", 9, 0, "b"))
    harness.propose(enqueue("1", spec=Spec("job", "a")), enqueue("2", spec=Spec("job", "b")))
    harness.propose(enqueue("3", spec=Spec("job", "nobody's")))
    harness.commit()
    assert planned(harness.plan()) == {"v": [1], "w": [2]}


def test_queues_take_turns_when_there_is_room_for_one() -> None:
    w = worker("w", 1, 0, "a", "b", "c")
    harness = DispatcherHarness(w)
    for name in "abc":
        tasks = enqueue(*(f"{name}{i}" for i in range(4)), spec=Spec("job", name))
        harness.propose(tasks)
    harness.commit()
    order = []
    for _ in range(12):
        (assign,) = harness.plan()
        order.append("abc"[(assign.seqs[0] - 1) // 4])
        harness.commit()
        harness.over(Finish([(harness.handed[-1][0], b"")]))
    assert "".join(order) == "abc" * 4


def test_nothing_is_planned_without_a_reason() -> None:
    harness = DispatcherHarness(worker("w", 1))
    harness.propose(enqueue("a", "b"))
    harness.commit()
    harness.plan()
    harness.workers.append(worker("v", 1))
    assert harness.plan() == []  # nobody said that there is a new worker


def test_a_proposal_the_machine_refuses_frees_the_room() -> None:
    w = worker("w", 1)
    harness = DispatcherHarness(w)
    harness.propose(enqueue("a"))
    harness.commit()
    (assign,) = harness.plan()
    assert w.busy == 1
    harness.dispatcher.not_assigned(assign.seqs)
    assert w.busy == 0


# ---- keys -------------------------------------------------------------------------------------


def test_tasks_of_equal_keys_go_to_the_same_worker() -> None:
    harness = DispatcherHarness(*(worker(f"w{i}", 100) for i in range(5)))
    harness.dispatcher = dispatcher_of(harness.queues, "consistent_hash")
    keys = [f"key {i}" for i in range(20)] * 5
    tasks = [[f"task {i}", b"", key] for i, key in enumerate(keys)]
    harness.propose(Admit(0, encode_spec(Spec("job", "default")), pack(tasks)))
    harness.commit()
    homes: dict[str, set[str]] = {}
    for name, seqs in planned(harness.plan()).items():
        for seq in seqs:
            homes.setdefault(keys[seq - 1], set()).add(name)
    assert all(len(home) == 1 for home in homes.values())
    assert len(set.union(*homes.values())) == 5
    # Those that come back are read from the table, and their keys with them.
    harness.commit()
    harness.over(Release([token for token, _ in harness.handed]))
    again = {seq: name for name, seqs in planned(harness.plan()).items() for seq in seqs}
    assert {again[seq] for seq in (1, 21, 41, 61, 81)} == homes["key 0"]


# ---- exclusions -------------------------------------------------------------------------------


def test_what_the_same_workers_know_is_planned_at_once_and_in_order_whatever_its_name() -> None:
    harness = DispatcherHarness(worker("old", 40), worker("new", 20), worker("newer", 20))
    for n in range(9):
        harness.eligibility.does_not_know(harness.workers[0].incarnation, f"b{n}")
    names = [f"b{n % 9}" for n in range(30)] + ["a"] * 10
    harness.propose(*(enqueue(f"{i}", spec=Spec(n, "default")) for i, n in enumerate(names)))
    harness.commit()
    balancer, plans = BALANCERS["failover"](Random(1)), []

    class Counting:
        spares_overloaded = False

        def plan(self, workers: Sequence[Candidate], keys: Sequence[str]) -> list[int]:
            plans.append(len(keys))
            return balancer.plan(workers, keys)

    counting = Counting()
    harness.dispatcher._balancer_of = lambda _queue: counting
    assigns = planned(harness.plan())
    assert plans == [30, 10]
    assert assigns == {"new": [*range(1, 21)], "newer": [*range(21, 31), *range(31, 41)]}


# ---- overload ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "spared"), [("weighted", True), ("round_robin", False)])
def test_a_balancer_that_heeds_load_gives_an_overloaded_worker_nothing(
    name: str, spared: bool
) -> None:
    harness = DispatcherHarness(worker("over", 2, 8), worker("well", 2))
    harness.dispatcher = dispatcher_of(harness.queues, name)
    harness.dispatcher._eligibility.spare(frozenset({harness.workers[0].incarnation}), frozenset())
    assert [n for _, n in harness.dispatcher.begin("default", "job", 9, harness.workers)] == (
        [2] if spared else [2, 2]
    )
    for w in harness.workers:
        w.busy = 0
    harness.propose(enqueue(*(f"{i}" for i in range(9))))
    harness.commit()
    assert ("over" in planned(harness.plan())) is not spared


def _choosy(*workers: Worker, spared: int) -> DispatcherHarness:
    """Three tasks that any worker knows, and one that the last worker does not; one is spared."""
    harness = DispatcherHarness(*workers)
    harness.eligibility.does_not_know(workers[-1].incarnation, "b")
    harness.eligibility.spare(frozenset({workers[spared].incarnation}), frozenset())
    names = ("a", "a", "a", "b")
    harness.propose(*(enqueue(f"{i}", spec=Spec(n, "default")) for i, n in enumerate(names)))
    harness.commit()
    return harness


def test_slots_that_nobody_may_have_let_none_overtake() -> None:
    harness = _choosy(worker("over", 3), worker("one"), worker("other"), spared=0)
    handed = [seq for seqs in planned(harness.plan()).values() for seq in seqs]
    assert sorted(handed) == [1, 2]


def test_who_may_not_go_to_a_full_worker_has_no_less_choice_than_others() -> None:
    harness = _choosy(worker("over", 3), worker("well", 2), worker("full"), spared=0)
    harness.workers[-1].busy = 1
    assert planned(harness.plan()) == {"well": [1, 2]}


# ---- many queues --------------------------------------------------------------------------------


def counted(harness: DispatcherHarness) -> list[str]:
    """The queues the dispatcher looks at from now on."""
    looked_at: list[str] = []
    balancer = harness.dispatcher._balancer_of("any")

    def balancer_of(queue: str) -> Balancer:
        looked_at.append(queue)
        return balancer

    harness.dispatcher._balancer_of = balancer_of
    return looked_at


def test_a_free_slot_costs_no_look_at_all_the_queues_that_wait_for_it() -> None:
    """9 ms a plan at 1,000 queues, at every report."""
    queues = [f"q{number}" for number in range(200)]
    harness = DispatcherHarness(worker("w", 1, 0, *queues))
    harness.propose(*(enqueue(f"{q}-{n}", spec=Spec("job", q)) for q in queues for n in range(2)))
    harness.commit()
    looked_at = counted(harness)
    for _ in range(4):
        harness.plan()
        harness.commit()
        harness.over(Finish([(harness.handed[-1][0], b"")]))
    assert len(looked_at) <= 4 * 5
    assert len(harness.handed) == 4


def test_every_queue_has_its_turn_however_few_slots_there_are() -> None:
    queues = [f"q{number}" for number in range(20)]
    harness = DispatcherHarness(worker("w", 1, 0, *queues))
    harness.propose(*(enqueue(f"{q}-{n}", spec=Spec("job", q)) for q in queues for n in range(3)))
    harness.commit()
    for _ in range(20):
        harness.plan()
        harness.commit()
        harness.over(Finish([(harness.handed[-1][0], b"")]))
    assert {(seq - 1) // 3 for seq in harness.seqs} == set(range(20))


def test_queues_nobody_here_serves_are_passed_over() -> None:
    queues = [f"q{number}" for number in range(50)]
    harness = DispatcherHarness(worker("w", 4, 4, "q49"))
    harness.propose(*(enqueue(q, spec=Spec("job", q)) for q in queues))
    harness.commit()
    looked_at = counted(harness)
    assert planned(harness.plan()) == {"w": [50]}
    assert set(looked_at) == {"q49"}


# ---- tasks that end while they wait -----------------------------------------------------------


def test_what_was_passed_by_and_purged_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skipped, "SKIPPED_TASKS_MAX", 3)
    knows, lacks = worker("knows"), worker("lacks", 2)
    knows.busy = 1
    processor = DispatcherHarness(knows, lacks)
    processor.eligibility.does_not_know(lacks.incarnation, "rare")
    processor.propose(enqueue(*"abcde", spec=Spec("rare", "default")))
    processor.commit()
    assert processor.plan() == []
    processor.propose(DropWaiting("default", 99, 99), enqueue("f"))
    processor.commit()
    assert planned(processor.plan()) == {"lacks": [6]}


def test_what_was_read_and_purged_is_not_proposed() -> None:
    processor = DispatcherHarness(worker("w"))
    processor.propose(enqueue(*"abc"), DropWaiting("default", 2, 99))
    processor.commit()
    assert planned(processor.plan()) == {"w": [3]}
    backlog = processor.dispatcher._backlogs["default"]._ordinary
    assert backlog._bytes == 0
    assert not backlog


def test_what_waits_again_and_is_purged_is_not_proposed() -> None:
    w = worker("w", 2)
    processor = DispatcherHarness(w)
    processor.propose(enqueue(*"abcd"))
    processor.commit()
    processor.plan()
    processor.commit()
    processor.over(Release([1, 2]))
    w.busy = 2  # it is read, and finds no room
    assert processor.plan() == []
    processor.propose(DropWaiting("default", 3, 99))
    processor.commit()
    w.busy = 0
    assert planned(processor.plan()) == {"w": [4]}


# ---- whether to look at all -------------------------------------------------------------------


def test_what_comes_into_a_queue_that_no_free_worker_serves_needs_no_plan() -> None:
    harness = DispatcherHarness(worker("w"))
    assert harness.plan() == []
    harness.propose(enqueue("far", spec=Spec("job", "other")))
    harness.commit()
    assert harness.dispatcher.needs_plan is False
    harness.propose(enqueue("near"))
    harness.commit()
    assert planned(harness.plan()) == {"w": [2]}
    harness.commit()
    assert harness.plan() == []  # its slot is taken
    harness.propose(enqueue("next"))
    harness.commit()
    assert harness.plan() == []

    harness.workers.append(worker("x", 2, 0, "default", "other"))
    harness.dispatcher.needs_plan = True  # as the leader says when a worker's capacity changed
    assert planned(harness.plan()) == {"x": [1, 3]}
