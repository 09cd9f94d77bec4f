"""A leadership: one batch a turn into the log, and what comes back out of it."""

from random import Random

import pytest

from raftwork.broker.leader.leadership import BATCH_BYTES, Leadership
from raftwork.broker.machine.commands import (
    TIME_MAX,
    Assign,
    Command,
    Fail,
    Finish,
    Tick,
    commands,
    decode_batch,
)
from raftwork.broker.placement.balancers import BALANCERS
from raftwork.consensus.core import ORIGIN, Output, Peer, Position, Role, Roster, Snapshot, Status
from raftwork.errors import NotLeader, QueueFull
from raftwork.features.enqueue import Admit, Enqueue, Enqueued
from raftwork.features.queue_settings import Configure, changes
from raftwork.features.results import Ask
from raftwork.messages import (
    PROTOCOL,
    Acknowledged,
    Failure,
    FromBroker,
    Heartbeat,
    Outcome,
    Push,
    Report,
    Spec,
    State,
    WorkerHello,
    encode_failure,
    encode_spec,
)
from raftwork.wire import pack
from tests.unit.broker.queues import SPEC, Queues, enqueue

ME = b"incarnation-of-w"


class Core:
    """A consensus core of one, that commits when told to, or refuses."""

    wake_at: int | None = None

    def __init__(self) -> None:
        self.log: list[tuple[Position, bytes]] = []
        self.seq = 0
        self.refusal: Exception | None = None
        self.barriers: list[int] = []

    @property
    def status(self) -> Status:
        return Status(role=Role.LEADER, active=True, epoch=1, leader="a", committed=ORIGIN)

    @property
    def leading(self) -> tuple[int, str | None]:
        return 1, "a"

    def propose(self, data: bytes, now: int) -> Position:
        if self.refusal is not None:
            raise self.refusal
        self.seq += 1
        self.log.append((Position(1, self.seq), data))
        return Position(1, self.seq)

    def barrier(self, token: int, now: int) -> None:
        if isinstance(self.refusal, NotLeader):
            raise self.refusal
        self.barriers.append(token)

    def wake(self, now: int) -> None: ...
    def receive(self, src: Peer, body: bytes, now: int) -> None: ...
    def link(self, name: str, up: bool, now: int) -> None: ...
    def transfer(self, now: int) -> None: ...
    def output(self) -> Output | None:
        return None

    def synced(self, output: Output) -> None: ...
    def compactable(self) -> Position:
        return ORIGIN

    def compacted(self, base: Position) -> None: ...
    def snapshot_made(self, snapshot: Snapshot | None) -> None: ...
    def installed(self, snapshot: Snapshot | None, roster: Roster, now: int) -> None: ...


def parse(entry: bytes) -> list[Command]:
    return [commands.from_plain(plain) for plain in decode_batch(entry)[1]]


class Office:
    """A leadership over a real machine and the core above."""

    def __init__(self, queues: Queues | None = None, epoch: int = 1, time: int = 5_000) -> None:
        self.queues = queues or Queues()
        self.core = Core()
        self.now = 100
        self.lead = Leadership(
            self.queues.machine,
            self.core,
            "weighted",
            Random(1),
            epoch=epoch,
            time=time,
            now=self.now,
        )
        self.requests = 0

    def enqueue(self, *ids: str, spec: Spec | None = None, payload: bytes = b"") -> int:
        self.requests += 1
        _, packed, tasks, _ = enqueue(*ids, spec=spec or Spec("job", "default"), payload=payload)
        request = Enqueue(self.requests, self.lead.time(self.now), packed, tasks)
        self.lead.request(b"c", request, len(tasks), self.now)
        return self.requests

    def hello(self, slots: int = 4, session: int = 1) -> None:
        hello = WorkerHello(PROTOCOL, "w", ME, session, "h", 1, slots, ["default", "b"], [], False)
        self.lead.workers.hello(b"w", hello, self.now)
        self.lead.room_changed()

    def report(self, *outcomes: Outcome) -> None:
        report = Report(1, [], list(outcomes), [], 0)
        assert self.lead.workers.report(b"w", report, self.now, self.lead.time(self.now))
        self.lead.room_changed()

    def plan(self) -> list[list[Command]]:
        """Propose; gives the commands of every new entry."""
        before = len(self.core.log)
        self.lead.plan(self.now)
        return [parse(data) for _, data in self.core.log[before:]]

    def commit(self) -> None:
        log, self.core.log = self.core.log, []
        for at, data in log:
            self.lead.applied(at, self.queues.machine.apply(data))

    def turn(self, ms: int = 1) -> None:
        self.now += ms
        self.lead.plan(self.now)
        while self.core.log:
            self.commit()
            self.lead.plan(self.now)

    def sent(self) -> list[FromBroker]:
        return [message for _, message in self.lead.frames()]

    def pushed(self) -> list[int]:
        return [t.token for m in self.sent() if isinstance(m, Push) for t in m.tasks]


@pytest.fixture
def office() -> Office:
    return Office()


def test_a_task_goes_through_its_whole_life(office: Office) -> None:
    office.hello()
    office.turn()
    office.sent()
    request = office.enqueue("a")
    office.turn()
    sent = office.sent()
    assert Enqueued(request) in sent
    (token,) = [t.token for m in sent if isinstance(m, Push) for t in m.tasks]
    office.report(Outcome(token, True, b"v"))
    office.turn()
    assert Acknowledged(1, 1, [token]) in office.sent()
    assert office.queues.machine.lookup(["a"])[0].state is State.SUCCEEDED


def test_all_wants_of_a_turn_are_one_entry(office: Office) -> None:
    for i in range(50):
        office.enqueue(f"{i}")
    (entry,) = office.plan()
    assert len(entry) == 50


def test_what_applying_makes_possible_is_proposed_in_the_same_turn(office: Office) -> None:
    office.enqueue("a")
    office.plan()
    office.hello()
    office.commit()
    assert [[type(c) for c in entry] for entry in office.plan()] == [[Assign]]


def test_nothing_is_pushed_before_its_assign_is_applied(office: Office) -> None:
    office.enqueue("a")
    office.plan()
    office.hello()
    office.commit()
    office.plan()
    assert office.pushed() == []
    office.commit()
    assert office.pushed() == [1]


def begun(entry: list[Command]) -> list[list[int]]:
    """How many tasks each Enqueue of an entry hands out at once."""
    return [[count for _, count in c.begin] for c in entry if isinstance(c, Admit)]


def test_a_task_that_nothing_waits_before_is_handed_out_with_its_enqueue(office: Office) -> None:
    office.hello(slots=2)
    request = office.enqueue("a")
    (entry,) = office.plan()
    assert begun(entry) == [[1]]
    office.commit()
    sent = office.sent()
    assert Enqueued(request) in sent
    assert [(t.id, t.attempt) for m in sent if isinstance(m, Push) for t in m.tasks] == [("a", 1)]


def test_no_more_tasks_begin_at_once_than_slots_are_free(office: Office) -> None:
    office.hello(slots=2)
    office.enqueue("a")
    office.enqueue("b", "c", "d")
    office.enqueue("e")
    (entry,) = office.plan()
    assert begun(entry) == [[1], [1], []]
    office.turn()
    assert office.pushed() == [1, 2]


def test_nobody_overtakes_what_is_on_its_way_into_the_same_queue(office: Office) -> None:
    office.enqueue("a", "b")
    office.plan()
    office.hello(slots=1)
    office.enqueue("c")
    office.enqueue("x", spec=Spec("job", "b"))
    (entry,) = office.plan()
    assert begun(entry) == [[], [1]]


def test_a_task_with_a_key_waits_to_be_placed_by_it(office: Office) -> None:
    office.hello(slots=2)
    tasks = pack([["a", b"", "red"]])
    request = Enqueue(9, office.lead.time(office.now), encode_spec(SPEC), tasks)
    office.lead.request(b"c", request, len(tasks), office.now)
    office.enqueue("b")
    (entry,) = office.plan()
    assert begun(entry) == [[], []]  # nor does the one behind it overtake
    office.turn()
    assert office.pushed() == [1, 2]


def test_nobody_overtakes_what_waits(office: Office) -> None:
    office.enqueue("a", "b")
    office.turn()
    office.hello(slots=1)
    office.enqueue("c")
    office.lead.plan(office.now)
    assert not any(begun([c for p in office.core.log for c in parse(p[1])])[0])


def test_what_was_reserved_for_tasks_that_were_known_is_free_again(office: Office) -> None:
    office.hello(slots=4)
    office.enqueue("a", "b", "c")
    office.enqueue("a", "b", "c")
    office.enqueue("a", payload=b"other")
    office.turn()
    assert office.pushed() == [1, 2, 3]
    (worker,) = office.lead.workers.available()
    assert worker.busy == 3
    assert worker.room == 1


def test_a_task_begun_at_a_worker_that_left_meanwhile_waits_again(office: Office) -> None:
    office.hello(slots=1)
    office.enqueue("a")
    office.plan()
    assert office.lead.workers.goodbye(b"w", 1, office.now)
    office.turn()
    assert office.pushed() == []
    (waiting,) = office.queues.machine.waiting("default", 0, 9, 1 << 20)
    assert (waiting.id, waiting.losses) == ("a", 0)


@pytest.mark.parametrize("payload", [100, 300_000])
def test_entries_are_cut_at_a_batch_of_bytes(office: Office, payload: int) -> None:
    for i in range(12):
        office.enqueue(f"{i}", payload=b"x" * payload)
    entries = office.plan()
    for _, data in office.core.log:
        assert len(data) < BATCH_BYTES + payload + 10_000
    assert sum(map(len, entries)) == 12
    assert len(entries) == (1 if payload == 100 else 4)


@pytest.mark.parametrize("ok", [True, False])
def test_outcomes_count_for_the_batch_too(office: Office, ok: bool) -> None:
    office.hello(slots=12)
    office.enqueue(*(f"{i}" for i in range(12)))
    office.turn()
    data = b"x" * 300_000 if ok else encode_failure(Failure("E", "x" * 300_000, ""))
    office.report(*(Outcome(t, ok, data) for t in office.pushed()))
    entries = office.plan()
    assert all(isinstance(c, Finish | Fail) for entry in entries for c in entry)
    for _, entry_data in office.core.log:
        assert len(entry_data) < 2 * BATCH_BYTES + 10_000
    assert len(entries) > 1


@pytest.mark.parametrize("refusal", [QueueFull("the log is full"), NotLeader("b")])
def test_a_log_that_takes_nothing_now_gets_everything_later_once(
    office: Office, refusal: Exception
) -> None:
    """A full log, or leadership being handed over and then kept."""
    office.hello()
    first = office.enqueue("a")
    office.core.refusal = refusal
    for _ in range(3):
        assert office.plan() == []
    second = office.enqueue("b")
    assert office.plan() == []
    assert office.sent()[:1] != [Enqueued(first)]
    office.core.refusal = None
    ((one, two),) = office.plan()
    assert isinstance(one, Admit)
    assert isinstance(two, Admit)
    office.commit()
    sent = office.sent()
    assert [m.request for m in sent if isinstance(m, Enqueued)] == [first, second]
    tokens = [t.token for m in sent if isinstance(m, Push) for t in m.tasks]
    office.turn()
    assert tokens + office.pushed() == [1, 2]


def test_assigns_that_could_not_be_proposed_are_not_planned_twice(office: Office) -> None:
    office.enqueue("a", "b")
    office.plan()
    office.commit()
    office.hello()
    office.core.refusal = QueueFull("the log is full")
    for _ in range(3):
        office.lead.room_changed()
        assert office.plan() == []
    office.core.refusal = None
    office.turn()
    assert office.pushed() == [1, 2]


def test_a_question_waits_for_a_core_that_leads(office: Office) -> None:
    office.core.refusal = NotLeader("b")
    office.lead.request(b"c", Ask(1, ["a"]), 9, office.now)
    office.plan()
    assert office.core.barriers == []
    office.core.refusal = None
    office.plan()
    (token,) = office.core.barriers
    office.lead.read_ready(token)
    assert len(office.sent()) == 1


def test_one_barrier_serves_all_questions_of_a_turn(office: Office) -> None:
    for request in range(9):
        office.lead.request(b"c", Ask(request, ["a"]), 9, office.now)
    office.plan()
    assert len(office.core.barriers) == 1


def test_barriers_of_an_earlier_leadership_answer_nothing(office: Office) -> None:
    office.lead.request(b"c", Ask(1, ["a"]), 9, office.now)
    office.plan()
    later = Office(office.queues, epoch=2)
    later.lead.request(b"c", Ask(1, ["a"]), 9, later.now)
    later.plan()
    assert later.core.barriers[0] > office.core.barriers[-1]
    later.lead.read_ready(office.core.barriers[0])
    assert later.sent() == []


# ---- time ---------------------------------------------------------------------------------------


def test_leader_time_starts_from_the_later_of_machine_and_clocks() -> None:
    queues = Queues(time=9_000)
    queues.apply(Tick())
    assert Office(queues, time=5_000).lead.time(100) == 9_000
    assert Office(queues, time=50_000).lead.time(130) == 50_030


def test_leader_time_goes_on_with_the_monotonic_clock_and_never_back(office: Office) -> None:
    assert office.lead.time(600) == 5_500
    office.queues.time = 90_000
    office.queues.apply(Tick())
    assert office.lead.time(601) == 90_000


def test_no_clock_can_make_an_entry_the_machine_refuses() -> None:
    office = Office(time=2**63 - 1)
    assert office.lead.time(office.now) == TIME_MAX
    request = office.enqueue("a")
    office.turn()
    assert Enqueued(request) in office.sent()


def test_a_due_retry_is_woken_by_a_tick_when_nothing_else_goes_on(office: Office) -> None:
    office.hello()
    office.enqueue("a", spec=Spec("job", "default", retries=1, backoff=10_000))
    office.turn()
    (token,) = office.pushed()
    office.report(Outcome(token, False, encode_failure(Failure("E", "", ""))))
    office.turn()
    for _ in range(4):
        office.lead.workers.heartbeat(b"w", Heartbeat(1, 0, 0, 0, 0, 0, False), office.now)
        office.now += 1_000
        assert office.plan() == []
    waited = 0
    while not (pushed := office.pushed()):
        office.lead.workers.heartbeat(b"w", Heartbeat(1, 0, 0, 0, 0, 0, False), office.now)
        wait = office.lead.wake_at - office.now
        assert wait > 0, "it would spin"
        waited += wait
        office.turn(wait)
    assert pushed == [2]
    assert 6_000 <= waited <= 8_501


def test_a_tick_that_cannot_be_proposed_does_not_spin(office: Office) -> None:
    office.hello()
    office.enqueue("a", spec=Spec("job", "default", retries=1, backoff=2))
    office.turn()
    (token,) = office.pushed()
    office.report(Outcome(token, False, encode_failure(Failure("E", "", ""))))
    office.turn()
    office.core.refusal = NotLeader("b")
    office.now += 50
    office.plan()
    assert office.lead.wake_at > office.now
    office.core.refusal = None
    office.turn()
    assert office.pushed() == [2]


def test_an_idle_leader_proposes_nothing(office: Office) -> None:
    office.hello()
    for _ in range(20):
        office.now += 100
        office.lead.workers.heartbeat(b"w", Heartbeat(1, 0, 0, 0, 0, 0, False), office.now)
        office.lead.room_changed()
        assert office.plan() == []


def test_entries_of_others_are_applied_without_replies(office: Office) -> None:
    """A new leader applies what the last one proposed: nobody waits for it here."""
    applied = office.queues.apply(enqueue("a"))
    office.lead.applied(Position(1, 77), applied)
    assert office.sent() == []
    office.hello()
    office.turn()
    assert office.pushed() == [1]


def test_every_leader_places_a_queues_tasks_by_the_balancer_set_for_it() -> None:
    queues = Queues()
    queues.apply(Configure("b", changes(balancer="failover")))
    for epoch in (1, 2):
        office = Office(queues, epoch=epoch)
        of = office.lead._dispatcher._balancer_of
        assert type(of("b")) is type(BALANCERS["failover"](Random(1)))
        assert type(of("default")) is type(BALANCERS["weighted"](Random(1)))
