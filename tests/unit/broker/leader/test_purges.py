"""Purges between all else that a leadership does: nothing is lost, counted twice or stuck."""

from collections import Counter
from random import Random

import pytest

from raftwork.broker.machine.commands import Assign
from raftwork.errors import NotLeader, QueueFull
from raftwork.features import purge_queue
from raftwork.features.purge_queue import PurgeQueue, QueuePurged
from raftwork.features.results import Results, Watch
from raftwork.features.task_row import DELAYED, FINISHED
from raftwork.messages import (
    PROTOCOL,
    Code,
    FromBroker,
    Held,
    Holding,
    Outcome,
    Push,
    Refused,
    Report,
    Spec,
    State,
    Stop,
    WorkerHello,
    WorkerWelcome,
    decode_failure,
)
from tests.unit.broker.leadership_harness import ME, LeadershipHarness
from tests.unit.broker.queues import Queues

CLIENT, WATCHER = b"c", b"watcher"
FLAKY = Spec("job", "default", retries=2, backoff=20, max_backoff=40)
ONCE = Spec("job", "default", at_most_once=True)


class Story:
    """One leadership after another over two replicas, and what its sessions are told."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.queues, self.twin = Queues(), Queues()
        self.harness = LeadershipHarness(self.queues)
        self.epoch = self.requests = self.session = 1
        self.ids: list[str] = []
        self.held: dict[int, str] = {}  # by token, at the worker
        self.outcomes: dict[str, State] = {}
        self.open: set[int] = set()  # purges that this leadership has not answered
        self.kinds = Counter[str]()  # of failures
        self.hello()

    # ---- what happens ---------------------------------------------------------------------------

    def step(self) -> None:
        often = (self.enqueue,) * 4 + (self.purge,) * 2 + (self.work,) * 4 + (self.turn,) * 8
        self.rng.choice((*often, self.refuse, self.leave, self.replaced, self.hello))()

    def enqueue(self) -> None:
        rng, many = self.rng, self.rng.randint(1, 9)
        ids = [f"t{len(self.ids) + i}" for i in range(many)]
        self.ids += ids
        spec = rng.choice((FLAKY, ONCE, None))
        self.harness.enqueue(*ids, spec=spec, payload=rng.randbytes(rng.randint(0, 9)))
        watch = Watch(self.number(), ids)
        self.harness.lead.request(WATCHER, watch, 9, self.harness.now)

    def number(self) -> int:
        self.requests += 1
        return 1_000_000 + self.requests

    def purge(self) -> None:
        number = self.number()
        self.open.add(number)
        for _ in range(self.rng.randint(1, 2)):  # asked again while it is under way
            purge = PurgeQueue(number, "default")
            self.harness.lead.request(CLIENT, purge, 9, self.harness.now)

    def work(self) -> None:
        """The worker ends some of what it has."""
        for token in self.rng.sample(sorted(self.held), self.rng.randint(0, len(self.held))):
            ok = self.rng.random() < 0.6
            del self.held[token]
            data = b"\xc0" if ok else b"no failure"
            self.report(Outcome(token, ok=ok, data=data))

    def report(self, *outcomes: Outcome) -> None:
        harness = self.harness
        report = Report(self.session, [], list(outcomes), [], 0)
        time = harness.lead.time(harness.now)
        assert harness.lead.workers.report(b"w", report, harness.now, time)
        harness.lead.capacity_changed()

    def turn(self, *, whole: bool = False) -> None:
        harness = self.harness
        harness.now += self.rng.choice((1, 1, 5, 30))
        harness.plan()
        log = harness.core.log
        many = len(log) if whole else self.rng.randint(0, len(log))
        harness.core.log = log[many:]
        for at, data in log[:many]:
            applied = self.queues.machine.apply(data)
            assert self.twin.machine.apply(data) == applied
            harness.lead.applied(at, applied)
        barriers, harness.core.barriers = harness.core.barriers, []
        for barrier in barriers:
            harness.lead.read_ready(barrier)
        for routing, frame in harness.lead.frames():
            self.told(routing, frame)
        self.check_counters()

    def refuse(self) -> None:
        """The log is full, or leadership is being handed over; or not any more."""
        refusals = (None, None, QueueFull("full"), NotLeader("handing over"))
        self.harness.core.refusal = self.rng.choice(refusals)

    def leave(self) -> None:
        """Sessions end while all of it is under way."""
        self.harness.lead.gone(self.rng.choice((CLIENT, WATCHER)), self.harness.now)
        self.watch_again()

    def replaced(self) -> None:
        """Another leadership, over what was committed; of the rest, some may be."""
        log, self.harness.core.log = self.harness.core.log, []
        for _, data in log[: self.rng.randint(0, len(log))]:
            assert self.queues.machine.apply(data) == self.twin.machine.apply(data)
        self.epoch += 1
        self.open.clear()
        self.harness = LeadershipHarness(self.queues, epoch=self.epoch)
        self.hello()
        self.watch_again()

    def hello(self) -> None:
        """The worker says what it holds, whoever leads."""
        self.session += 1
        holding = [Holding(token, Held.RUNNING, 0) for token in self.held]
        hello = WorkerHello(
            PROTOCOL, "w", ME, self.session, "h", 1, 3, ["default"], holding, draining=False
        )
        self.harness.lead.workers.hello(b"w", hello, self.harness.now)
        self.harness.lead.capacity_changed()

    def watch_again(self) -> None:
        unknown = [id_ for id_ in self.ids if id_ not in self.outcomes]
        self.harness.lead.request(WATCHER, Watch(self.number(), unknown), 9, self.harness.now)

    # ---- what must hold -------------------------------------------------------------------------

    def told(self, routing: bytes, frame: FromBroker) -> None:
        match frame:
            case Push(_, session, tasks) if session == self.session:
                for task in tasks:
                    state = self.queues.machine.states([task.id])[0]
                    assert state is not State.FAILED, f"{task.id} is over, and runs"
                    self.held[task.token] = task.id
            case Stop(_, session, tokens) | WorkerWelcome(_, session, tokens):
                assert session <= self.session
                for token in tokens:
                    self.held.pop(token, None)
            case QueuePurged(number, many):
                assert routing == CLIENT
                assert number in self.open or not many  # answered twice if asked after an answer
                self.open.discard(number)
            case Results(results) if routing == WATCHER:
                for result in results:
                    if not result.state.final:
                        continue  # it is not in: its enqueue was another leadership's
                    known = self.outcomes.setdefault(result.id, result.state)
                    assert known is result.state
                    if result.state is State.FAILED:
                        self.kinds[decode_failure(result.data).type] += 1
            case Refused(number, code):
                assert code is Code.QUEUE_FULL, frame
                self.open.discard(number)

    def check_counters(self) -> None:
        db, state = self.queues.db, self.queues.machine.state
        self.queues.machine.flush()
        queue = state.queues.get("default")
        if queue is None:
            return
        waits = "seq IN (SELECT seq FROM waiting) OR phase = ?"
        asked = f"SELECT count(*), coalesce(sum(length(body)), 0) FROM task WHERE {waits}"
        assert (queue.queued, queue.bytes) == db.execute(asked, (DELAYED,)).get
        assert queue.running == db.execute("SELECT count(*) FROM running").get
        assert state.unfinished == queue.queued + queue.running
        kept = "SELECT count(*), coalesce(sum(length(body)), 0) FROM task WHERE phase = ?"
        assert (state.results, state.result_bytes) == db.execute(kept, (FINISHED,)).get

    def ends(self) -> None:
        """In peace all is done, and nothing of it stays behind."""
        self.harness.core.refusal = None
        self.watch_again()
        self.hello()
        states: list[State] = []
        for _ in range(400):
            self.turn(whole=True)
            for token in list(self.held):
                del self.held[token]
                self.report(Outcome(token, ok=True, data=b"\xc0"))
            self.report()
            states = self.queues.machine.states(self.ids)
            if all(state.final or state is State.UNKNOWN for state in states):
                break
        for _ in range(4 + 2 * len(self.open)):
            self.turn(whole=True)
        assert self.open == set()
        final = {id_ for id_, state in zip(self.ids, states, strict=True) if state.final}
        assert self.outcomes.keys() == final
        lead = self.harness.lead
        assert [t.requests + t.bytes for t in lead.processor._tallies.values() if t.requests] == []
        assert not (lead.processor._open or lead.processor._rests or lead._results._watchers)
        assert lead._dispatcher._reserved == {}
        assert [worker.busy for worker in lead.workers._workers.values()] == [0]
        assert lead.processor.waiting is False
        assert self.queues.machine.digest() == self.twin.machine.digest()
        queue = self.queues.machine.queue("default")
        ends = Counter(self.outcomes.values())
        assert (queue.queued, queue.running, queue.bytes) == (0, 0, 0)
        counted = (queue.succeeded, queue.failed, queue.lost)
        assert counted == tuple(ends[s] for s in (State.SUCCEEDED, State.FAILED, State.LOST))


@pytest.mark.parametrize("seed", range(6))
def test_purges_between_everything_else(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge_queue, "_PART", 4)
    story = Story(seed)
    for _ in range(400):
        story.step()
    story.ends()
    assert story.kinds["Purged"] > 20


def test_what_a_leader_has_read_and_is_purged_is_not_proposed_for_anybody() -> None:
    harness = LeadershipHarness()
    harness.enqueue(*"abc")
    harness.turn()
    harness.lead.request(CLIENT, PurgeQueue(7, "default"), 9, harness.now)
    harness.turn()
    harness.enqueue("d")
    harness.turn()
    harness.hello()
    (entry,) = harness.plan()
    assert entry == [Assign(ME, [4])]
