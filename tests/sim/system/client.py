"""A client process: the real Session, and an application that wants tasks done.

The application never gives up: what ended as Unavailable it enqueues again with the same ids, and
after a crash it goes on from what it had written down before (its batches, and which of them were
acknowledged). What finds no room it sometimes does without.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from raftwork.client import calls
from raftwork.client.calls import Answered
from raftwork.client.result_registry import Slot
from raftwork.client.session import Session
from raftwork.errors import QueueFull, Unavailable
from raftwork.features import to_broker
from raftwork.features.cancel import CancelTasks, TasksCancelled
from raftwork.features.cluster_settings import (
    AskClusterSettings,
    ClusterSettingsSet,
    ClusterSettingsTold,
    SetClusterSettings,
)
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.features.event_feed import EventsRead, ReadEvents
from raftwork.features.flows import FlowSubmitted, SubmitFlow
from raftwork.features.inspect_tasks import ListTasks, ShowTask, TaskPage, TaskShown
from raftwork.features.pause_queue import PauseQueue, QueueGoesOn, QueuePaused, ResumeQueue
from raftwork.features.purge_queue import PurgeQueue, QueuePurged
from raftwork.features.queue_settings import (
    AskQueue,
    QueueSet,
    SetQueue,
    SettingsTold,
)
from raftwork.features.results import Answer, Ask
from raftwork.features.unique import EnqueuedUnique, EnqueueUnique
from raftwork.messages import Result, State
from raftwork.messages.request import Request
from raftwork.wire import unpack
from tests.sim.system.disk import CLUSTER
from tests.sim.system.looks import Looks, looked
from tests.sim.system.network import WIRE_TIMEOUT, Dealer
from tests.sim.system.process import Clock, Process
from tests.sim.system.promises import require
from tests.sim.system.service_checker import About, Steers
from tests.sim.system.worker import ADDRESSES
from tests.sim.system.workload import Batch

if TYPE_CHECKING:
    from tests.sim.system.world import World

#: How long the application lets a call take, ms.
TIMEOUT = 6_000
#: … and how much later it is told, at most: its clock may be slow.
LATE = 100
#: Frames that a stopped process's connection takes.
UNREAD_MAX = 1

_REPLIES: dict[type[object], type[object]] = {
    SetQueue: QueueSet,
    AskQueue: SettingsTold,
    PurgeQueue: QueuePurged,
    CancelTasks: TasksCancelled,
    PauseQueue: QueuePaused,
    ResumeQueue: QueueGoesOn,
    EnqueueUnique: EnqueuedUnique,
    SubmitFlow: FlowSubmitted,
    ShowTask: TaskShown,
    ListTasks: TaskPage,
    ReadEvents: EventsRead,
    SetClusterSettings: ClusterSettingsSet,
    AskClusterSettings: ClusterSettingsTold,
}

#: What is asked for again if it is not known whether it was done.
_AGAIN = (SetQueue, SetClusterSettings, EnqueueUnique, SubmitFlow)
_ENQUEUE = to_broker._tags[Enqueue]


@dataclass(slots=True)
class Call:
    """An enqueue (with its batch), a question, a queue's change or purge that is under way."""

    at: int
    ids: tuple[str, ...] = ()
    batch: Batch | None = None
    #: It waits for room.
    wait_when_full: bool = False
    about: About | Steers | EnqueueUnique | SubmitFlow | Looks | None = None
    #: How much had been set when it began.
    since: int = 0


@dataclass(slots=True)
class Wish:
    """A task whose outcome this application wants: since when it watches."""

    at: int
    result: Result | None = None


@dataclass
class Application:
    """What outlives the client's process."""

    todo: list[Batch] = field(default_factory=list)
    wishes: dict[str, Wish] = field(default_factory=dict)
    #: What found no room, and is to be tried again some time.
    put_off: list[Batch] = field(default_factory=list)


class Client(Process):
    def __init__(self, world: "World", name: str, clock: Clock) -> None:
        super().__init__(world.timeline, name, clock)
        self.world = world
        self.application = Application()
        self._dealers: dict[str, Dealer] = {}
        self._clear()

    def _clear(self) -> None:
        self._frames: list[tuple[str, bytes]] = []
        self._links: list[tuple[str, bool]] = []
        self._calls: dict[int, Call] = {}
        self._stunned = False
        #: Those that were under way when it was stopped.
        self._stopped_in: set[int] = set()

    # ---- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        if self.alive:
            return
        self.timeline.note("start", self.host)
        self._session = Session(list(self.world.cluster.values()), self.timeline.rng)
        self._dealers = {}
        application = self.application
        wanted = [task for task, wish in application.wishes.items() if wish.result is None]
        for task in wanted:
            application.wishes[task].at = self.timeline.now
        self._session.watch(wanted, self.mono)
        todo, application.todo = application.todo, []
        for batch in todo:
            self._enqueue(batch)
        self.born()

    def stop(self, how: str, *, silently: bool = False) -> None:
        if not self.alive:
            return
        self.timeline.note(how, self.host)
        self.died()
        for dealer in self._dealers.values():
            dealer.close()
        self.world.network.vanish(self.host, silently=silently)
        under_way = [call.batch for call in self._calls.values() if call.batch is not None]
        self.application.todo.extend(under_way)
        self._clear()

    def pause(self, length: int) -> None:
        """Also its I/O threads stop: what arrives stays with the kernel, and after a while the
        other end gives the connection up."""
        super().pause(length)
        second = self.timeline.second
        self._stunned = second.random() < 0.5
        self._stopped_in = set(self._calls)
        self.timeline.after(WIRE_TIMEOUT, self._given_up)

    def _given_up(self) -> None:
        if self.alive and self.paused:
            for connection in self.world.network.connections(self.host):
                self.world.network.drop(connection, self.free_at - self.timeline.now)

    @property
    def stuffed(self) -> bool:
        """Its connection takes no more for now."""
        return self.paused and len(self._frames) >= UNREAD_MAX

    # ---- the application ------------------------------------------------------------------------

    def act(self) -> None:
        """One more thing this application wants."""
        if not self.alive or self.paused:
            return
        rng, book = self.timeline.rng, self.world.book
        match rng.randrange(20):
            case 0 | 1 if (batch := self._repeated()) is not None:
                self._enqueue(batch)
            case 2 if (batch := book.contradiction()) is not None:
                self._enqueue(batch)
            case 3 | 4 | 5 | 6 | 7 | 8 if book.ids:
                self._ask(book.some_ids())
            case 9 if book.ids:
                self._watch(book.some_ids())
            case _:
                batch = book.fresh()
                if rng.random() < 0.2:
                    self._watch(batch.ids)
                self._enqueue(batch)
        self.poke()

    def _repeated(self) -> Batch | None:
        """A batch that was made before, whole or in part."""
        book, second = self.world.book, self.timeline.second
        return book.overlapping(second) if second.random() < 0.3 else book.again()

    def press(self) -> None:
        """Something new, or what has become of the newest."""
        book = self.world.book
        if self.alive and not self.paused and book.ids:
            if self.timeline.second.random() < 0.3:
                self._enqueue(book.fresh())
            else:
                self._ask(book.ids[-6:])
            self.poke()

    def enlarge(self) -> None:
        """New tasks."""
        if self.alive and not self.paused:
            self._enqueue(self.world.book.fresh())
            self.poke()

    def lengthen(self) -> None:
        """One more entry for the log, and nothing to do."""
        if self.alive and not self.paused:
            self._enqueue(self.world.book.nothing())
            self.poke()

    def _enqueue(self, batch: Batch) -> None:
        wait_when_full = self.world.admin.waits()
        request = Enqueue(0, 0, batch.spec, batch.tasks)
        # Its outcome will be wanted: as a client does that waits for each of its tasks.
        alone = len(batch.ids) == 1 and self.timeline.second.random() < 0.5
        slot = Slot(batch.ids[0]) if alone else None
        number = self._submit(
            request, Enqueued, batch.ids, wait_when_full=wait_when_full, slot=slot
        )
        self._calls[number] = Call(self.timeline.now, batch.ids, batch, wait_when_full)

    def _submit(
        self,
        request: Request,
        reply: type[object],
        ids: tuple[str, ...] = (),
        *,
        wait_when_full: bool = False,
        slot: Slot | None = None,
    ) -> int:
        now = self.mono
        made = calls.Call(
            request, reply, now + TIMEOUT, ids=ids, wait_when_full=wait_when_full, slot=slot
        )
        made.watch()
        return self._session.submit(made, now)

    def _ask(self, ids: list[str]) -> None:
        number = self._submit(Ask(0, ids), Answer, tuple(ids))
        self._calls[number] = Call(self.timeline.now, tuple(ids))

    def inquire(self, about: About | Steers | EnqueueUnique | SubmitFlow | Looks) -> None:
        """Set something, ask what is set, look at tasks, or drop what waits in a queue."""
        if self.alive and not self.paused:
            number = self._submit(about, _REPLIES[type(about)])
            other = isinstance(about, Steers | EnqueueUnique | SubmitFlow | Looks)
            since = 0 if other else self.world.clients.changes(cast("About", about))
            self._calls[number] = Call(self.timeline.now, about=about, since=since)
            self.poke()

    def _watch(self, ids: list[str] | tuple[str, ...], *, comes: bool = False) -> None:
        wishes = self.application.wishes
        for task in ids:
            held = wishes.get(task)
            if held is None or (held.result is not None and not held.result.state.final):
                wishes[task] = Wish(self.timeline.now)
        if not comes:  # without being asked for: it is watched since the enqueue
            self._session.watch([i for i in ids if wishes[i].result is None], self.mono)

    @property
    def follows(self) -> int:
        """The epoch of the leader that it asks; 0 if it knows of none."""
        endpoint = self._session._brokers.endpoint
        return endpoint.epoch if endpoint is not None else 0

    @property
    def content(self) -> bool:
        """Nothing is under way and every wish is fulfilled."""
        application = self.application
        done = not (self._calls or application.todo or application.put_off)
        return done and all(wish.result is not None for wish in self.application.wishes.values())

    def waits_for(self) -> list[str]:
        """Tasks whose outcome it wants and has not been told."""
        return [task for task, wish in self.application.wishes.items() if wish.result is None]

    def wants(self) -> str:
        calls = len(self._calls)
        batches = len(self.application.todo) + len(self.application.put_off)
        return f"{calls} calls, {batches} batches, outcomes of {self.waits_for()}"

    # ---- the loop -------------------------------------------------------------------------------

    def turn(self) -> int | None:
        session, now = self._session, self.mono
        if self._stunned:  # it goes on before its I/O threads have handed over what came meanwhile
            self._stunned = False
            session.wake(now)
            self._carry_out()
            return now + 1
        links, frames = self._links, self._frames
        self._links, self._frames = [], []
        for address, up in links:
            (session.link_up if up else session.link_down)(address, now)
        for address, frame in frames:
            session.receive(address, frame, now)
        session.wake(now)
        self._carry_out()
        for call in self._calls.values():  # in the order in which they began
            waited = self.timeline.now - call.at
            text = f"{self.host} has waited {waited} ms for the end of {call}"
            require(waited <= TIMEOUT + LATE, "calls end", text)
            break
        return session.wake_at

    def _carry_out(self) -> None:
        output = self._session.take()
        for address in output.connect:
            self._dealers[address] = Dealer(self.world.network, self, ADDRESSES[address])
        for address, frame in output.frames:
            if frame[1] == _ENQUEUE:
                self._sends(frame)
            self._dealers[address].send(frame)
        for answer in output.answers:
            number = answer.call.number
            told = number in self._stopped_in and not isinstance(answer.error, Unavailable)
            self.world.reach.counts["answered after a pause"] += told
            self._answered(self._calls.pop(number), answer)
        for result in output.outcomes:
            self._outcome(result)
        if output.answers or output.outcomes:
            self._carry_out()

    def _sends(self, frame: bytes) -> None:
        request = to_broker.decode(frame)
        assert isinstance(request, Enqueue)
        call = self._calls.get(request.request)
        if call is not None and call.batch is not None:
            self.world.clients.sent(call.batch)
            return
        rows = cast("list[object]", unpack(request.tasks))
        for call in self._calls.values():  # those that travel together
            if call.batch is not None and call.batch.spec == request.spec:
                mine = cast("list[object]", unpack(call.batch.tasks))
                if all(row in rows for row in mine):
                    self.world.clients.sent(call.batch)

    def _answered(self, call: Call, answer: Answered) -> None:
        if isinstance(answer.error, Unavailable):
            self.timeline.note("unavailable", self.host)
            if call.batch is not None:
                self._enqueue(call.batch)
            elif isinstance(call.about, _AGAIN) and not self.world.peaceful:
                self.inquire(call.about)
        elif isinstance(call.about, EnqueueUnique | SubmitFlow):
            self._submitted(call.about, answer)
        elif isinstance(call.about, PurgeQueue):
            self.world.clients.purged(call.at, call.about, answer)
        elif isinstance(call.about, Steers):
            self.world.clients.steered(call.at, call.about, answer)
        elif isinstance(call.about, Looks):
            self._looked(call.at, call.about, answer)
        elif call.about is not None:
            self.world.clients.told(call.about, call.since, answer)
        elif call.batch is None:
            results = answer.message.results if isinstance(answer.message, Answer) else []
            self.world.clients.answered(call.at, call.ids, results)
        elif isinstance(answer.error, QueueFull):
            self._no_room(call, call.batch)
        elif answer.error is not None:
            self.world.clients.refused(call.batch, answer.error)
        else:
            self.world.clients.acknowledged(call.batch)
            assert isinstance(answer.message, Enqueued)
            self._watch(
                call.batch.ids, comes=answer.message.watched and answer.call.slot is not None
            )

    def _looked(self, at: int, about: Looks, answer: Answered) -> None:
        if isinstance(about, ReadEvents):
            self.world.event_reader.answered(about, answer)
        else:
            looked(self.world.clients, self.world.queue, at, about, answer)

    def _submitted(self, about: EnqueueUnique | SubmitFlow, answer: Answered) -> None:
        queue = self.world.queue
        if isinstance(about, SubmitFlow):
            queue.flows.answered(about, answer.message, answer.error)
        else:
            queue.keys.answered(about, answer.message, answer.error)

    def _no_room(self, call: Call, batch: Batch) -> None:
        self.world.clients.no_room(batch)
        if call.wait_when_full:
            self.world.waited_in_vain(self, batch)
        wait = self.world.admin.put_off(batch)
        if self.world.waits.refused(batch):
            wait = None
        if wait is not None:
            self.application.put_off.append(batch)
            self.timeline.after(wait, self._again, batch)

    def _again(self, batch: Batch) -> None:
        if self.alive and self.paused:
            self.timeline.after(self.free_at - self.timeline.now, self._again, batch)
            return
        self.application.put_off.remove(batch)
        if self.alive:
            self._enqueue(batch)
            self.poke()
        else:
            self.application.todo.append(batch)

    def _outcome(self, result: Result) -> None:
        wish = self.application.wishes[result.id]
        self.world.clients.outcome(wish.at, result)
        wish.result = result
        if result.state is State.UNKNOWN and self.world.clients.is_acknowledged(result.id):
            self._watch([result.id])  # it came in after we had asked

    # ---- sockets --------------------------------------------------------------------------------

    def dealer_frame(self, target: str, frame: bytes) -> None:
        self._frames.append((CLUSTER[target], frame))
        self.poke()

    def dealer_link(self, target: str, *, up: bool) -> None:
        self._links.append((CLUSTER[target], up))
        self.poke()
