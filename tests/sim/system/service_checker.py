"""What clients and workers may rely on: true answers (G1, G2, G7), leases (G4), one voice (G6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raftwork.broker.queue.commands import Lose, commands, decode_batch
from raftwork.consensus.core import Entry, Kind
from raftwork.errors import ProtocolError, RaftworkError
from raftwork.messages import (
    Goodbye,
    Heartbeat,
    Push,
    Report,
    Result,
    State,
    WorkerHello,
    from_broker,
    to_broker,
)
from tests.sim.system.promises import require
from tests.sim.system.queue_checker import QueueChecker
from tests.sim.system.timeline import Timeline
from tests.sim.system.workload import Batch

if TYPE_CHECKING:
    from tests.sim.system.broker import Broker

#: The leases promised to workers, ms, less a clock's drift and a turn.
LEASE, LEASE_CLOSED = 2_950, 950

# Tags as they stand in a packed frame.
_ENQUEUED, _RESULTS, _ANSWER, _WELCOME, _PUSH, _BEAT = 5, 6, 7, 10, 11, 14
_FROM_LEADER = frozenset({_ENQUEUED, _RESULTS, _ANSWER, *range(_WELCOME, _BEAT + 1)})
_HELLO, _GOODBYE = 10, 13


class ClientChecker:
    """Every client's history: what was acknowledged and read, and when."""

    def __init__(self, timeline: Timeline, queue: QueueChecker) -> None:
        self._timeline = timeline
        self._queue = queue
        self._acknowledged: dict[str, int] = {}
        self._read: dict[str, tuple[Result, int]] = {}

    def is_acknowledged(self, task: str) -> bool:
        return task in self._acknowledged

    @property
    def acknowledgements(self) -> list[str]:
        return list(self._acknowledged)

    def acknowledged(self, batch: Batch) -> None:
        for task, contents in zip(batch.ids, batch.contents, strict=True):
            known = self._queue.tasks.get(task)
            require(known is not None, "durable", f"{task} is acknowledged, but not committed")
            assert known is not None
            text = f"{task} is acknowledged with contents that are not stored"
            require(known.contents == contents, "once in", text)
            self._acknowledged.setdefault(task, self._timeline.now)

    def refused(self, batch: Batch, error: RaftworkError) -> None:
        tasks = self._queue.tasks
        contradicts = any(
            task in tasks and tasks[task].contents != contents
            for task, contents in zip(batch.ids, batch.contents, strict=True)
        )
        right = contradicts and isinstance(error, ProtocolError)
        require(right, "refusals", f"{batch.ids} are refused: {error!r}")

    def answered(self, asked: int, ids: tuple[str, ...], results: list[Result]) -> None:
        require(tuple(r.id for r in results) == ids, "true reads", "an answer to another question")
        for result in results:
            self._check(asked, result, with_data=False)

    def outcome(self, asked: int, result: Result) -> None:
        final = result.state.final or result.state is State.UNKNOWN
        require(final, "true reads", f"{result.state!r} is told as an outcome")
        self._check(asked, result, with_data=True)

    def _check(self, asked: int, result: Result, *, with_data: bool) -> None:
        task = result.id
        if result.state.final:
            self._queue.told(result, with_data=with_data)
            self._read.setdefault(task, (result, self._timeline.now))
            return
        read = self._read.get(task)
        stale = read is not None and read[1] < asked
        require(not stale, "true reads", f"{task} is {result.state!r} after its outcome was read")
        if result.state is State.UNKNOWN:
            lost = self._acknowledged.get(task, self._timeline.now) < asked
            require(not lost, "true reads", f"{task} is unknown after it was acknowledged")
        else:
            text = f"{task} is {result.state!r}, but was never committed"
            require(task in self._queue.tasks, "true reads", text)


@dataclass(slots=True)
class _Heard:
    at: int
    session: int
    routing: bytes


class LeaseChecker:
    """A worker's tasks are lost only after its silence, its goodbye or its time limit (G4)."""

    def __init__(self, queue: QueueChecker, routed: Mapping[bytes, object]) -> None:
        self._queue = queue
        self._routed = routed
        self._heard: dict[tuple[str, bytes], _Heard] = {}
        self._workers: dict[tuple[str, bytes], bytes] = {}

    def activated(self, broker: "Broker") -> None:
        """Everybody has the whole lease from here on."""
        for key in [k for k in self._heard if k[0] == broker.host]:
            del self._heard[key]

    def reads(self, broker: "Broker", routing: bytes, frame: bytes, now: int) -> None:
        """A frame that the broker is about to read."""
        if broker.active is None or len(frame) < 2 or not _HELLO <= frame[1] <= _GOODBYE:
            return
        message = to_broker.decode(frame)
        if isinstance(message, WorkerHello):
            key = (broker.host, message.incarnation)
            before = self._heard.get(key)
            if before is None or before.session < message.session:
                self._heard[key] = _Heard(now, message.session, routing)
                self._workers[broker.host, routing] = message.incarnation
            return
        worker = self._workers.get((broker.host, routing))
        heard = None if worker is None else self._heard.get((broker.host, worker))
        if heard is None or heard.routing != routing:
            return
        if isinstance(message, Report | Heartbeat) and message.session == heard.session:
            heard.at = now
        elif isinstance(message, Goodbye) and message.session == heard.session:
            heard.at = -1 << 60

    def proposed(self, broker: "Broker", entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            if entry.kind is Kind.DATA:
                for plain in decode_batch(entry.data)[1]:
                    command = commands.from_plain(plain)
                    if isinstance(command, Lose):
                        self._lost(broker, command)

    def _lost(self, broker: "Broker", command: Lose) -> None:
        started = broker.clock.monotonic(broker.activated_at)
        for token, begun in command.tokens:
            task, worker = self._queue.tokens[token]
            heard = self._heard.get((broker.host, worker))
            silence = broker.mono - (started if heard is None else heard.at)
            closed = heard is not None and heard.routing not in self._routed
            text = f"{task.id} is taken from its worker after {silence} ms of silence"
            if begun:
                require(silence > (LEASE_CLOSED if closed else LEASE), "lease", text)


class PushChecker:
    """Only an activated leader speaks as one; a task is pushed to its committed owner (G6)."""

    def __init__(self, queue: QueueChecker) -> None:
        self._queue = queue

    def leaves(self, broker: "Broker", routing: bytes, frame: bytes) -> None:
        tag = frame[1] if len(frame) > 1 else 0
        if tag not in _FROM_LEADER:
            return
        text = f"{broker.host} sends frame {tag} without being active"
        require(broker.active is not None, "one voice", text)
        if tag != _PUSH:
            return
        push = from_broker.decode(frame)
        assert isinstance(push, Push)
        require(push.epoch == broker.active, "one voice", f"a push of epoch {push.epoch}")
        for task in push.tasks:
            owner = self._queue.tokens.get(task.token)
            mine = owner is not None and owner[0].id == task.id
            require(mine, "committed before pushed", f"{task.token} of {task.id} is pushed")
