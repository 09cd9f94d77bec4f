"""The loop of a worker: sockets and the clock around agent and pool.

One loop, one thread (the async pool's own event loop excepted). Sockets never block and never
linger: what a dead broker did not take is void, and the agent sends it again to the next.

A turn looks at what stirred and at nothing else: a task of a moment takes three turns, one as it
comes, one as it ends and one as that is acknowledged, and each looks into the pool or at a socket.
"""

import logging
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from time import monotonic_ns

from raftwork.errors import BadMessage, PermissionDenied, PoolBroken
from raftwork.features import from_broker, to_broker
from raftwork.features.schedule_records import DeclareSchedules, SchedulesDeclared
from raftwork.keys import Key
from raftwork.logs import pass_time
from raftwork.messages import (
    FRAME_BYTES_MAX,
    Code,
    Drain,
    FromBroker,
    Refused,
    ToBroker,
)
from raftwork.net.denials import Denials
from raftwork.net.links import LinkOptions, Links
from raftwork.net.resolving import LookUp, look_up
from raftwork.worker.agent import Agent, Identity, Turn
from raftwork.worker.declaring import Declaring
from raftwork.worker.events import (
    BrokerTrouble,
    GraceOver,
    HostKnown,
    HostUnknown,
    SlotsChanged,
    StopsAtOnce,
    ToldToDrain,
)
from raftwork.worker.http_child import HttpChild
from raftwork.worker.log_tails import LogTails
from raftwork.worker.machine_load import Sampler
from raftwork.worker.pool import Pool
from raftwork.worker.task_logging import TaskLog, tell, tell_declared
from raftwork.worker.task_notes import Courier
from raftwork.worker.time_limits import TimeLimits

log = logging.getLogger("raftwork.worker")

#: After a turn that brought several things to a worker with more tasks than can run at once, the
#: next waits so long, s, that bursts become batches. No task that could run waits for that.
_PAUSE_S = 0.001
#: The pool is asked for what ended at least so often, ms, if there are turns: some of what it does
#: comes with time alone.
_COLLECT_MS = 100
#: Between looks at what only time brings about in the shell itself, ms.
_CHORES_MS = 20
#: Frames libzmq reads ahead from one broker: each may be large, and they wait better at the broker.
_RECEIVE_MESSAGES = 16
#: Frames read from one broker in one turn: the pool and the clock must get their turn too.
_TURN_FRAMES = 256
#: Between two complaints about what brokers say, at least, ms: they must not fill the disk with it.
_COMPLAIN_MS = 1_000
#: How long the last frames may take to leave, ms.
_FLUSH_MS = 250
#: Between two samples of the load, at least, ms: over less, ticks of 10 ms are too coarse.
_SAMPLE_MS = 500
_NEVER = 2**62
#: Of what is refused that is no request: the session itself.
_NOT_LET_IN = 0, Code.PERMISSION_DENIED


def now_ms() -> int:
    """Milliseconds on the monotonic clock."""
    return monotonic_ns() // 1_000_000


class Worker:
    """The loop. `run` returns once the agent is finished; `interrupt` may come from a signal."""

    def __init__(
        self,
        identity: Identity,
        brokers: Sequence[str],
        pool: Pool,
        *,
        grace: float | None = None,
        look_up: LookUp = look_up,
        key: Key | None = None,
        declared: Sequence[DeclareSchedules] = (),
        http: HttpChild | None = None,
    ) -> None:
        self._pool, self._http = pool, http
        self._verbose = log.isEnabledFor(logging.DEBUG)
        self._agent = Agent(
            *(identity, brokers, pool.slots, now_ms(), Random()),
            tell_all=self._verbose,
            limits=TimeLimits(pool.notes.with_last_lines),
        )
        self._courier = Courier(self._agent.session)
        self._declaring = Declaring(declared, self._agent.session)
        self._tails = LogTails(self._agent.session, self._agent.holds)
        self._task_log = TaskLog(now_ms())
        self._grace = grace  # s, from the first signal to what a second would do
        self._halt_at = _NEVER
        self._sampler = Sampler()
        self._links = Links(
            look_up,
            LinkOptions(
                FRAME_BYTES_MAX,
                reconnect_ms=50 + secrets.randbelow(50),  # many workers lose a broker at once
                receive_messages=_RECEIVE_MESSAGES,
                turn_frames=_TURN_FRAMES,
            ),
            key,
        )
        self._denials = Denials()
        self._taken = False  # by a leader, once
        self._interrupts = 0
        self._heeded = 0
        self._complain_at = now_ms()
        self._in, self._out = socket.socketpair()
        self._in.setblocking(False)
        self._out.setblocking(False)
        self._pool_wakers = set(pool.wakers)
        self._watched = len(pool.wakers)
        self._collect_at = self._chores_at = now_ms()
        for waker in (self._in.fileno(), *pool.wakers):
            self._links.watch(waker)
        for address in brokers:
            self._links.connect(address, now_ms())

    def interrupt(self) -> None:
        """The first time: drain. The second time: stop at once."""
        self._interrupts += 1
        with suppress(OSError):
            self._out.send(b"\0")

    @property
    def halted(self) -> bool:
        """Whether it was a second signal that ended it."""
        return self._heeded > 1

    def run(self) -> None:
        """Work until drained or stopped. Raises PoolBroken.

        Raises PermissionDenied if no broker lets this worker in, and none ever did.
        """
        try:
            while not self._agent.finished:
                self._turn()
        except (PoolBroken, PermissionDenied):
            self._send(self._agent.halt(now_ms()))
            raise
        finally:
            self._close()

    def _turn(self) -> None:
        agent = self._agent
        wake = min(agent.wake_at, self._halt_at, self._tails.look_at)
        ready = self._links.poll(max(0, wake - monotonic_ns() // 1_000_000))
        now = monotonic_ns() // 1_000_000
        if (self._interrupts > self._heeded or now >= self._halt_at) and self._heed(now):
            return
        came = self._receive(ready, now)
        if now >= self._collect_at or now >= agent.look_at:
            came += self._collect(now)
        if now >= agent.look_at:
            agent.look(self._pool.running(), self._pool.slots, now)
        if now >= agent.heartbeat_at and now - self._sampler.sampled_at >= _SAMPLE_MS:
            self._sample(now)
        self._perform(agent.turn(now))
        self._carry_notes(now)
        if agent.follows:
            self._tails.follow(agent.follows, now)
        if now >= self._tails.look_at:
            self._tell_logs(self._tails.turn(self._pool.notes, now))
        if now >= self._chores_at:
            self._chores(now)
        if came > 1 and agent.saturated and not agent.finished:
            time.sleep(_PAUSE_S)

    def _collect(self, now: int) -> int:
        """Hand what ended to the agent; how many tasks."""
        self._collect_at = now + _COLLECT_MS
        agent, pool = self._agent, self._pool
        ends = pool.collect()
        self._courier.asked(pool.notes.asked(), now)
        if ends:
            over = [end.outcome.token for end in ends]
            self._courier.forget(over)
            self._tell_logs(self._tails.ended(over, pool.notes, now))
            if self._http is not None:
                self._http.ended(ends, agent)
        agent.ended(ends, now)
        waits = pool.waiting()
        if waits or agent.waits:
            agent.waiting(waits, now)
        for waker in pool.wakers[self._watched :]:  # a slot was lent
            self._links.watch(waker)
            self._pool_wakers.add(waker)
        self._watched = len(pool.wakers)
        slots = pool.slots
        if slots != agent.slots:
            tell(SlotsChanged(slots, agent.slots))
            agent.look_at = now
        return len(ends)

    def _sample(self, now: int) -> None:
        agent, pool = self._agent, self._pool
        agent.sample(self._sampler.sample(now))
        self._task_log.slots(pool.running(), pool.slots, agent.unfinished(), now)

    def _chores(self, now: int) -> None:
        """What need not be done in a turn that only brought a task, or its end."""
        self._chores_at = now + _CHORES_MS
        links, agent = self._links, self._agent
        links.tend(now)
        for address, text in links.unopened():
            if text:
                self._complain(f"broker {address}: {text}", now)
        for address, text in links.denials():
            self._denied(address, text, now)
        self._leave_if_denied(now)
        for address, text in links.unresolved():
            tell(HostUnknown(address, text) if text else HostKnown(address))
        self._task_log.look(agent.session, now)
        if self._http is not None and now >= self._http.due_at:
            self._http.tend(agent, self._pool, now)
        if agent.draining and now >= self._task_log.list_at:
            self._task_log.unfinished(agent.unfinished(), now)
        pass_time()

    def _heed(self, now: int) -> bool:
        """Act on new signals; True if that ended the worker."""
        with suppress(BlockingIOError):
            self._in.recv(64)
        self._heeded = self._interrupts
        if now >= self._halt_at:
            tell(GraceOver(self._grace or 0))
            self._heeded = 2
        if self._heeded > 1:
            tell(StopsAtOnce())
            self._perform(self._agent.halt(now))
            return True
        if self._grace is not None:
            self._halt_at = now + round(self._grace * 1000)
        self._agent.drain(now)
        return False

    def _receive(self, ready: Sequence[object], now: int) -> int:
        """Hand what arrived to the agent; how many frames. Notes who else has something."""
        count = 0
        for each in ready:
            if each in self._pool_wakers:
                self._collect_at = now
                continue
            if type(each) is int:
                self._chores_at = now  # a host was looked up
                continue
            for address, made in self._links.changes(each, now):
                self._changed(address, made, now)
                self._chores_at = now
            for address, frame in self._links.frames(each):
                count += 1
                self._read(address, frame, now)
        return count

    def _changed(self, address: str, made: bool, now: int) -> None:
        self._task_log.link(address, made=made)
        (self._denials.link_up if made else self._denials.link_down)(address)
        if made:
            self._agent.link_made(address, now)
        else:
            self._agent.link_lost(address, now)

    def _read(self, source: str, frame: bytes, now: int) -> None:
        try:
            message: FromBroker = from_broker.decode(frame)
        except BadMessage as error:
            self._complain(f"bad frame from {source}: {error}", now)
            return
        if type(message) is Refused:
            self._refused(source, message, now)
        elif type(message) is Drain:
            tell(ToldToDrain(source))
        elif type(message) is SchedulesDeclared:
            tell_declared(self._declaring.answered(message))
        self._agent.receive(source, message, now)

    def _refused(self, source: str, refused: Refused, now: int) -> None:
        self._declaring.refused(refused, now)
        if (refused.request, refused.code) != _NOT_LET_IN:
            self._complain(f"refused by {source}: {refused.text:.300}", now)
            return
        self._denied(source, refused.text, now)
        if source == self._agent.session.leader and not self._taken:
            raise PermissionDenied(f"{source}: {refused.text:.300}")

    def _carry_notes(self, now: int) -> None:
        """What tasks say of themselves goes to the leader, and its verdicts to them."""
        agent, courier = self._agent, self._courier
        if agent.verdicts:
            courier.answered(agent.verdicts, self._pool.notes)
        if now >= courier.look_at:
            said = self._pool.notes.said()
            courier.said([note for note in said if agent.holds(note.token)], now)
        notes = courier.turn(now)
        if self._declaring.asked:
            notes += self._declaring.turn(now)
        if notes and (leader := agent.session.leader) is not None:
            sent = [self._links.send(leader, to_broker.encode(note)) for note in notes]
            if not all(sent):
                self._agent.link_lost(leader, now)

    def _tell_logs(self, frames: Sequence[ToBroker]) -> None:
        """What does not fit into the connection is lost: nothing waits for a log."""
        if frames and (leader := self._agent.session.leader) is not None:
            for frame in frames:
                self._links.send(leader, to_broker.encode(frame))

    def _denied(self, address: str, text: str, now: int) -> None:
        self._denials.denied(address, text, now)
        self._complain(f"refused by {address}: {text:.300}", now)

    def _leave_if_denied(self, now: int) -> None:
        """One that was taken once goes on trying: the list it is on may be mended."""
        self._taken = self._taken or self._agent.session.open
        if self._denials and not self._taken:
            why = self._denials.verdict(self._agent.session.brokers, now)
            if why is not None:
                raise PermissionDenied(why)

    def _complain(self, text: str, now: int) -> None:
        if now >= self._complain_at:
            self._complain_at = now + _COMPLAIN_MS
            tell(BrokerTrouble(text))

    def _perform(self, turn: Turn) -> None:
        pool = self._pool
        if turn.ends:
            self._task_log.ended(turn.ends)
        if turn.send:
            self._send(turn)
        if turn.start:
            if self._verbose:
                self._task_log.given(turn.start)
            pool.start(turn.start)
        if turn.stop:
            pool.stop(turn.stop)
            self._courier.forget(turn.stop, pool.notes)
            self._collect_at = now_ms()  # there may be fewer slots now
        if turn.hopeless:
            pool.end_waits(turn.hopeless)
        if self._agent.draining:
            pool.drain()
        if turn.cancel:
            self._agent.unstarted(pool.cancel(turn.cancel))
        if turn.withdraw:
            self._agent.withdrawn(pool.withdraw())
        if turn.withdraw or turn.cancel:
            self._perform(self._agent.turn(now_ms()))

    def _send(self, turn: Turn) -> None:
        now = now_ms()
        for address, message in turn.send:
            self._links.connect(address, now)
            if not self._links.send(address, to_broker.encode(message)):
                self._agent.link_lost(address, now)

    def _close(self) -> None:
        if self._http is not None:
            self._http.close()
        self._pool.close()
        self._links.close(_FLUSH_MS)
        self._in.close()
        self._out.close()
