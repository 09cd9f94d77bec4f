"""Tasks for one worker: which workers a broadcast is for, who gets its tasks, and who goes."""

import pytest

from raftwork.broker.workers.registry import ALL_HEARD_MS
from raftwork.errors import PayloadTooLarge
from raftwork.features import broadcasts
from raftwork.features.effects import Settled
from raftwork.features.flow_graph import BroadcastKind, Graph, Node, encode_graph
from raftwork.features.flows import FlowSubmitted, SubmitFlow
from raftwork.features.inspect_tasks import ShowTask, TaskShown
from raftwork.features.pins import LOOK_MS, PinWatch, WorkerGone
from raftwork.messages import (
    PROTOCOL,
    FromBroker,
    Goodbye,
    Heartbeat,
    Outcome,
    Push,
    PushedTask,
    Report,
    Spec,
    State,
    WorkerHello,
    decode_failure,
    encode_spec,
)
from raftwork.wire import pack
from tests.unit.broker.leases import LEASE_MS
from tests.unit.broker.queues import Queues
from tests.unit.broker.scheduling import CLIENT, Scheduling
from tests.unit.features.flow_cases import task, value_of

SPEC = Spec("reload", "default")


class Place(Scheduling):
    """A leadership, and workers that beat while they are there."""

    def __init__(self, queues: Queues | None = None) -> None:
        super().__init__(queues=queues)
        self.there: dict[str, tuple[int, int, bool]] = {}
        self.started = 0
        self.got: dict[str, list[PushedTask]] = {}
        self.answers: list[FromBroker] = []
        self.harness.sent = self._sent  # type: ignore[method-assign]

    def fail_over(self, after: int = 0, epoch: int = 2) -> None:
        super().fail_over(after, epoch)
        self.harness.sent = self._sent  # type: ignore[method-assign]

    def _sent(self) -> list[FromBroker]:
        """What the client gets; what is pushed to workers stands in `got`."""
        answers: list[FromBroker] = []
        for routing, message in self.harness.lead.frames():
            if isinstance(message, Push):
                self.got.setdefault(routing.decode(), []).extend(message.tasks)
            elif routing == CLIENT:
                answers.append(message)
        self.answers += answers
        return answers

    def start(self, name: str, slots: int = 1, queue: str = "default") -> None:
        """Another process under this name."""
        self.started += 1
        self.there[name] = (self.started, slots, False)
        self._hello(name, queue)

    def _hello(self, name: str, queue: str = "default", session: int = 1) -> None:
        number, slots, draining = self.there[name]
        incarnation = f"{name} {number}".encode().ljust(16)
        hello = WorkerHello(
            PROTOCOL, name, incarnation, session, "h", 1, slots, [queue], [], draining
        )
        self.harness.lead.workers.hello(name.encode(), hello, self.harness.now)
        self.harness.lead.capacity_changed()

    def drain(self, name: str) -> None:
        number, slots, _ = self.there[name]
        self.there[name] = (number, slots, True)

    def leave(self, name: str) -> None:
        """It says goodbye."""
        del self.there[name]
        self.harness.lead.workers.receive(name.encode(), Goodbye(1), self.harness.now, self.time)

    def die(self, name: str) -> None:
        del self.there[name]
        self.harness.lead.gone(name.encode(), self.harness.now)

    def _beat(self) -> None:
        for name, (_, _, draining) in self.there.items():
            beat = Heartbeat(1, None, None, None, 0, 0, draining)
            self.harness.lead.workers.receive(name.encode(), beat, self.harness.now, self.time)
        self._sent()

    def pushed_to(self, name: str) -> list[str]:
        self.sleep(3, 1)
        return [task.id for task in self.take(name)]

    def take(self, name: str) -> list[PushedTask]:
        self.sleep(3, 1)
        return self.got.pop(name, [])

    def report(self, name: str, outcome: Outcome) -> None:
        report = Report(1, [], [outcome], [], 0)
        lead = self.harness.lead
        assert lead.workers.report(name.encode(), report, self.harness.now, self.time)
        lead.capacity_changed()
        self.sleep(3, 1)

    def submit(self, *nodes: Node, id: str = "f", spec: Spec = SPEC) -> object:  # noqa: A002
        graph = encode_graph(Graph([encode_spec(spec)], list(nodes)))
        return self.ask(SubmitFlow(0, self.time, id, 1_000_000, False, graph))

    def broadcast(self, id: str = "f", spec: Spec = SPEC) -> object:  # noqa: A002
        return self.submit(to_all(), value_of(0), id=id, spec=spec)

    def state(self, id_: str) -> State:
        return self.harness.queues.machine.states([id_])[0]

    def why(self, id_: str) -> str:
        (found,) = self.harness.queues.machine.lookup([id_])
        return decode_failure(found.data).type

    def why_it_waits(self, id_: str) -> dict[str, str]:
        shown = self.ask(ShowTask(0, id_))
        assert isinstance(shown, TaskShown)
        return {reason.why: reason.text for reason in shown.waits}


def to_all() -> Node:
    return Node(1, pack([[], {}]), broadcast=BroadcastKind.VALUES)


@pytest.fixture
def place() -> Place:
    """A leader that has heard of all workers, of which there is none."""
    place = Place()
    place.sleep(ALL_HEARD_MS)
    return place


# ---- for whom it is -----------------------------------------------------------------------------


def test_it_is_for_the_workers_that_are_active_and_serve_its_queue(place: Place) -> None:
    place.start("w2")
    place.start("w1")
    place.start("drains")
    place.drain("drains")
    place.start("other", queue="other")
    place.start("left")
    place.sleep(1)
    place.leave("left")
    place.broadcast()
    assert {name: place.pushed_to(name) for name in ("w1", "w2", "drains", "other")} == {
        "w1": ["f/1.1"],
        "w2": ["f/1.2"],
        "drains": [],
        "other": [],
    }


def test_two_workers_of_one_name_are_one(place: Place) -> None:
    place.start("w1")
    again = WorkerHello(PROTOCOL, "w1", b"another".ljust(16), 1, "h", 2, 1, ["default"], [], False)
    place.harness.lead.workers.hello(b"twin", again, place.harness.now)
    place.broadcast()
    assert place.ids() == ["f", "f/1.1", "f/1"]


def test_a_new_leader_waits_until_all_workers_could_say_hello() -> None:
    place = Place()
    place.start("w1")
    graph = encode_graph(Graph([encode_spec(SPEC)], [to_all(), value_of(0)]))
    asked = SubmitFlow(7, place.time, "f", 1, False, graph)
    place.harness.lead.request(CLIENT, asked, 100, place.harness.now)
    place.submit(task(), value_of(0), id="plain")  # nothing else waits for that
    place.sleep(ALL_HEARD_MS - 200)
    assert place.ids() == ["plain", "plain/1"]
    place.start("w2")
    place.sleep(300)
    assert place.ids()[2:] == ["f", "f/1.1", "f/1.2", "f/1"]
    assert FlowSubmitted(7) in place.answers


def test_what_waits_for_them_is_carried_out_though_its_client_is_gone_by_then() -> None:
    place = Place()
    place.start("w1")
    lead, graph = (
        place.harness.lead,
        encode_graph(Graph([encode_spec(SPEC)], [to_all(), value_of(0)])),
    )
    for number in (7, 8):  # the second asks for the same
        asked = SubmitFlow(number, place.time, "f", 1, False, graph)
        lead.request(CLIENT, asked, 100, place.harness.now)
        lead.request(CLIENT, asked, 100, place.harness.now)
    lead.gone(CLIENT, place.harness.now)
    place.sleep(ALL_HEARD_MS + 100)
    assert place.ids() == ["f", "f/1.1", "f/1"]
    processor = lead.processor
    assert not (processor._open or processor._left or processor._early)
    assert all(t.requests == t.bytes == 0 for t in processor._tallies.values())


def test_too_many_workers_are_refused_before_it_is_in_the_log(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcasts, "NODES_MAX", 2)
    place.start("w1")
    place.broadcast("one")
    place.start("w2")
    with pytest.raises(PayloadTooLarge, match=r"3 nodes.* 2 are allowed"):
        place.broadcast()
    assert "f" not in place.ids()


# ---- who gets them ------------------------------------------------------------------------------


def test_a_worker_that_is_full_holds_up_its_own_task_alone(place: Place) -> None:
    place.start("w1")
    place.submit(task(), value_of(0), id="busy")
    assert place.pushed_to("w1") == ["busy/1"]
    place.start("w2")
    place.broadcast()
    place.submit(task(), task(), value_of(0), id="plain")
    assert place.pushed_to("w2") == ["f/1.2"]
    assert place.state("f/1.1") is State.QUEUED
    told = place.why_it_waits("f/1.1")
    assert told["worker"] == "it waits for worker w1, and no other one may have it"
    assert told["busy"] == "all 1 slots of worker w1 are busy with 1 × reload"


def test_a_task_that_its_worker_does_not_know_fails_there(place: Place) -> None:
    place.start("w1")
    place.start("w2")
    place.broadcast()
    (mine,) = place.take("w1")
    unknown = Outcome(mine.token, False, pack((1, "UnknownTask", "", "")), unknown=True)
    place.report("w1", unknown)
    assert place.state("f/1.1") is State.FAILED


def test_a_task_that_was_lost_under_its_worker_comes_to_that_one_again(place: Place) -> None:
    place.start("w1")
    place.start("w2", slots=4)
    place.broadcast()
    assert place.pushed_to("w1") == ["f/1.1"]
    place.die("w1")
    place.sleep(LEASE_MS // 2 + LOOK_MS)
    place.start("w1")
    assert place.pushed_to("w1") == ["f/1.1"]
    assert place.pushed_to("w2") == ["f/1.2"]


# ---- who goes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["leave", "die", "drain"])
def test_what_has_not_begun_is_cancelled_once_its_worker_was_away_for_a_lease(
    place: Place, how: str
) -> None:
    place.start("w1")
    place.submit(task(), value_of(0), id="busy")
    place.sleep(3, 1)
    place.broadcast()
    place.start("w2")
    getattr(place, how)("w1")
    place.sleep(LEASE_MS - 2 * LOOK_MS)
    assert place.state("f/1.1") is State.QUEUED
    assert "no worker w1 serves" in place.why_it_waits("f/1.1")["no worker"]
    place.sleep(LEASE_MS + 2 * LOOK_MS)
    assert place.state("f/1.1") is State.CANCELLED
    assert (place.why("f/1.1"), place.why("f")) == ("worker gone", "worker gone")
    assert "f/1.1" not in place.pushed_to("w2")


def test_a_worker_that_comes_again_under_its_name_has_them(place: Place) -> None:
    place.start("w1")
    place.submit(task(), value_of(0), id="busy")
    place.sleep(3, 1)
    place.broadcast()
    place.leave("w1")
    place.sleep(LEASE_MS - 2 * LOOK_MS)
    place.start("w1", slots=2)
    assert "f/1.1" in place.pushed_to("w1")


def test_what_runs_is_lost_with_its_worker_and_cancelled_if_that_stays_away(place: Place) -> None:
    place.start("w1")
    place.broadcast()
    assert place.pushed_to("w1") == ["f/1.1"]
    place.start("w2")
    place.die("w1")
    place.sleep(3 * LEASE_MS)
    assert place.state("f/1.1") is State.CANCELLED
    assert place.pushed_to("w2") == []


def test_one_that_has_failed_and_waits_for_a_retry_is_cancelled_too(place: Place) -> None:
    place.start("w1")
    place.broadcast(spec=SPEC._replace(retries=5, backoff=1_000_000, max_backoff=1_000_000))
    (mine,) = place.take("w1")
    failure = Outcome(mine.token, False, pack((1, "ValueError", "no", "")))
    place.report("w1", failure)
    place.leave("w1")
    place.sleep(LEASE_MS + 2 * LOOK_MS)
    assert place.why("f/1.1") == "worker gone"


def test_a_new_leader_gives_workers_their_time_again(place: Place) -> None:
    place.start("w1")
    place.submit(task(), value_of(0), id="busy")
    place.sleep(3, 1)
    place.broadcast()
    place.leave("w1")
    place.sleep(LEASE_MS - LOOK_MS)
    place.fail_over()
    place.sleep(max(ALL_HEARD_MS, LEASE_MS) - LOOK_MS)
    assert place.state("f/1.1") is State.QUEUED
    place.sleep(3 * LOOK_MS)
    assert place.state("f/1.1") is State.CANCELLED


def test_a_worker_is_gone_for_no_leader_to_which_some_may_say_hello_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from raftwork.broker.workers import registry

    place = Place()
    place.sleep(ALL_HEARD_MS)
    place.start("w1")
    place.submit(task(), value_of(0), id="busy")
    place.sleep(3, 1)
    place.broadcast()
    place.leave("w1")
    monkeypatch.setattr(registry, "ALL_HEARD_MS", 3 * LEASE_MS)
    place.fail_over()
    place.sleep(3 * LEASE_MS - LOOK_MS)
    assert place.state("f/1.1") is State.QUEUED
    place.sleep(3 * LOOK_MS)
    assert place.state("f/1.1") is State.CANCELLED


def test_a_leader_that_was_away_itself_gives_them_their_time_again(place: Place) -> None:
    place.start("w1")
    place.submit(task(), value_of(0), id="busy")
    place.sleep(3, 1)
    place.broadcast()
    place.leave("w1")
    place.sleep(2 * LOOK_MS)
    place.harness.now += 10 * LEASE_MS
    place.sleep(LEASE_MS - 2 * LOOK_MS)
    assert place.state("f/1.1") is State.QUEUED


def test_a_leader_proposes_nothing_for_tasks_that_run_or_while_none_is_pinned(
    place: Place,
) -> None:
    (watch,) = (c for c in place.harness.lead._chores if isinstance(c, PinWatch))
    assert watch.wake_at is None
    place.start("w1")
    place.broadcast()
    assert place.pushed_to("w1") == ["f/1.1"]
    place.drain("w1")  # it ends what it runs, for as long as that takes
    place.sleep(LEASE_MS)
    before = place.harness.core.seq
    place.sleep(3 * LEASE_MS)
    assert place.harness.core.seq == before
    assert watch.wake_at is not None


def test_one_entry_cancels_so_many_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from raftwork.features import pins

    monkeypatch.setattr(pins, "_PART", 2)
    place = Place()
    place.sleep(ALL_HEARD_MS)
    place.start("w1")
    place.submit(task(), value_of(0), id="busy")
    for number in range(5):
        place.broadcast(f"f{number}")
    place.leave("w1")
    queues = place.harness.queues
    seen = []
    for _ in range(4):
        effects = queues.effects(WorkerGone("w1", "default"))
        seen.append(sum(isinstance(each, Settled) and "." in each.id for each in effects))
    assert seen == [2, 2, 1, 0]
