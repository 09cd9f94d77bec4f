"""A broker process: sockets, files, clocks and signals around a Node. One thread, one loop.

The order within a turn (design §6.1, §6.4): the clock is read and the core woken before anything is
read, so that a leader that was paused too long ends here; then links and peers; then clients and
workers within a bound; then the turn, whose fsync blocks this loop on purpose: a leader with a hung
disk must fall silent.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import resource
import secrets
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from math import ceil
from random import Random
from typing import TYPE_CHECKING

import zmq

from raftwork.addresses import parse_address
from raftwork.broker import event_logging
from raftwork.broker.access.admission import Admission
from raftwork.broker.disk_gauge import DiskGauge
from raftwork.broker.disk_space import DiskSpace
from raftwork.broker.events import SlowTurn
from raftwork.broker.http_child import HttpChild
from raftwork.broker.machine import create_or_migrate
from raftwork.broker.net.authenticator import require_curve
from raftwork.broker.net.throttle import Throttle
from raftwork.broker.net.transport import Transport
from raftwork.broker.node import Node
from raftwork.broker.node_setup import NodeStore, Setup
from raftwork.broker.options import Timing, is_loopback
from raftwork.broker.own_facts import STALL_US, OwnFacts, Stored
from raftwork.broker.peer_events import (
    AccessNotReloaded,
    AccessReloaded,
    BallastDropped,
    BrokerStarted,
    BrokerStops,
    DataPutAside,
    ListensOnLoopback,
)
from raftwork.broker.store import open_store
from raftwork.broker.store.ballast import drop_ballast
from raftwork.broker.store.starts import note_start
from raftwork.consensus import raft, zab
from raftwork.consensus.core import Consensus, Peer
from raftwork.errors import AccessListRefused, StoreError
from raftwork.logs import pass_time, say
from raftwork.messages import PROTOCOL
from raftwork.net.dialling import cannot_resolve, endpoint
from raftwork.net.resolving import look_up, reason
from raftwork.release import RELEASE

if TYPE_CHECKING:
    from pathlib import Path

    from raftwork.broker.events import Event
    from raftwork.broker.options import BrokerConfig
    from raftwork.broker.store import Store
    from raftwork.messages.facts import BrokerFacts

log = logging.getLogger("raftwork.broker")

#: One turn reads for so long (s), and stops at so many frames that cannot be read: a flood gets no
#: more of our time. libzmq serves all connections alike: the next turn goes on with others.
TURN_READS_S = 0.003
TURN_GARBAGE = 16
#: New objects before a look for cycles among them, and such looks before one among older objects.
GC_OBJECTS = 20_000
GC_GENERATION = 20
#: Between looks at what only time brings about in the shell itself (ms).
CHORES_MS = 20
#: What is already with libzmq gets so long (ms) to leave at a graceful stop.
LINGER_MS = 200


def run_broker(config: BrokerConfig) -> int:
    """Run a broker until it is told to stop; the exit code.

    Raises StoreError for a directory that is not this broker's, is open already or is damaged
    beyond what the other replicas can mend, and OSError if the address cannot be bound.
    """
    _allow_connections()
    admission = _admission(config)
    _drop_ballast(config.data)
    store = open_store(
        config.data,
        name=config.name,
        consensus=config.consensus,
        cluster=config.cluster,
        readdress=config.readdress,
        checksums=config.checksums,
        create_machine=create_or_migrate,
    )
    try:
        note_start(config.data, _wall() // 1_000)
        if store.damage is not None:
            event_logging.write(None, DataPutAside(store.damage))
        others = {n: a for n, a in store.identity.addresses.items() if n != config.name}
        transport = _listen(config.bound, others, admission)
        try:
            return _serve(config, store, transport, admission)
        finally:
            transport.close(LINGER_MS)
    finally:
        store.close()


def _drop_ballast(data: Path) -> None:
    if drop_ballast(data):
        event_logging.write(None, BallastDropped(str(data)))


def _admission(config: BrokerConfig) -> Admission | None:
    """Raises OSError where keys cannot work, or nobody could come in."""
    if config.key is None or config.access is None:
        return None
    require_curve()
    try:
        return Admission(config.key, str(config.access), config.cluster)
    except AccessListRefused as error:
        raise OSError(str(error)) from None


def _listen(
    address: str, others: Mapping[str, str], admission: Admission | None = None
) -> Transport:
    """Raises OSError if there is no listening at that address."""
    host, port = parse_address(address)
    try:
        found = look_up(host)
    except OSError as error:
        raise OSError(cannot_resolve(host, reason(error))) from None
    # A name may have several, some of them other machines'. Many systems give their own name one of
    # loopback, too, at which no other machine reaches them.
    local, why = is_loopback(address), "its host has no address"
    for chosen in sorted(found, key=lambda each: not local and ip_address(each).is_loopback):
        try:
            at = endpoint(chosen, port).removeprefix("tcp://")
            transport = Transport(at, others, _now(), admission=admission)
        except zmq.ZMQError as error:
            why = zmq.strerror(error.errno or 0)  # error.strerror names the address once more
            if error.errno != errno.EADDRNOTAVAIL:
                break
            continue
        if not local and ip_address(chosen).is_loopback:
            event_logging.write(None, ListensOnLoopback(host, chosen))
        return transport
    raise OSError(f"cannot listen on {address}: {why}")


def _serve(
    config: BrokerConfig, store: Store, transport: Transport, admission: Admission | None = None
) -> int:
    pid_file = config.data / "broker.pid"
    try:
        server = Server(
            config, store, transport, admission
        )  # from here on a signal is a graceful stop
        _publish(pid_file, f"{os.getpid()}\n")
        say(f"listening {config.name} {config.bound}")
        tell_service_manager("READY=1")
        server.run()
    except StoreError as error:
        log.critical("this replica stops: %s (its directory: %s)", error, config.data)
        _drop_ballast(config.data)  # it is started again
        return 1
    except Exception:  # what this is about only its traceback tells
        log.critical("this replica stops", exc_info=True)
        return 1
    finally:
        with suppress(OSError):
            pid_file.unlink()
    return 0


def tell_service_manager(state: str) -> None:
    """Say it to whoever started this process as a service and asked for it (sd_notify(3))."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where:
        return
    address = "\0" + where[1:] if where.startswith("@") else where
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(state.encode(), address)


def _publish(path: Path, text: str) -> None:
    """Write a small file that is never seen half written."""
    unfinished = path.with_suffix(".new")
    unfinished.write_text(text)
    unfinished.replace(path)


def _allow_connections() -> None:
    """Every connection is a file: the usual soft limit is for programs that still use select."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _now() -> int:
    return time.monotonic_ns() // 1_000_000


def _wall() -> int:
    return time.time_ns() // 1_000_000


MakeCore = Callable[[Peer, list[str], NodeStore, Random, int], Consensus]


def core_maker(consensus: str, timing: Timing) -> MakeCore:
    """The core behind a `--consensus`. Raises ValueError for times that it cannot work with."""
    if consensus == "zab":
        of_zab = zab.Config.paced(*timing)
        return lambda me, names, store, rng, now: zab.Zab(
            me, names, store, store.restored, of_zab, rng, now
        )
    of_raft = raft.Config.paced(*timing)
    return lambda me, names, store, rng, now: raft.Raft(
        me, names, store, store.restored, of_raft, rng, now
    )


def _started(config: BrokerConfig, timing: Timing) -> BrokerStarted:
    brokers = (f"{name}={address}" for name, address in config.cluster.items())
    return BrokerStarted(
        config.name,
        RELEASE,
        PROTOCOL,
        config.consensus,
        config.bound,
        str(config.data),
        tuple(brokers),
        timing.election_timeout,
        timing.heartbeat_interval,
        os.getpid(),
    )


class Server:
    """The loop. From its making on SIGTERM and SIGINT end `run`, at once if it has not begun."""

    def __init__(
        self,
        config: BrokerConfig,
        store: Store,
        transport: Transport,
        admission: Admission | None = None,
    ) -> None:
        self._transport = transport
        self._admission = admission
        transport.tell = partial(event_logging.write, None)
        rng = Random(secrets.randbits(64))
        names = list(config.cluster)
        make_core = core_maker(config.consensus, config.timing())
        self._config, self._store = config, store
        self._facts = OwnFacts(config.name, os.getpid(), _now())
        addresses = store.identity.addresses
        self._disk = DiskSpace(config.name, names, config.disk_reserve)
        setup = Setup(
            name=config.name,
            cluster={name: addresses[name] for name in names},
            consensus=config.consensus,
            balancer=config.balancer,
            timing=config.timing,
            rng=rng,
            make_core=lambda me, st, now: make_core(me, names, st, rng, now),
            send=transport.send,
            send_consensus=transport.send_or_drop,
            writable=transport.writable,
            send_peer=transport.send_peer,
            dial=lambda name, address: transport.dial(name, address, _now()),
            clock_ns=time.monotonic_ns,
            tell=self._tell,
            facts=self._own_facts,
            outbox_bytes=lambda: transport.outbox_bytes,
            tells_attempts=event_logging.tells_attempts(),
            disk=self._disk,
            access=lambda: "" if admission is None else admission.digest,
            http_key=admission.http_key.public if admission is not None and config.http else "",
            tell_http=(lambda *_: None) if admission is None else admission.tell_http,
            cluster_id=secrets.token_bytes(16),
            event_bytes=config.event_bytes,
        )
        # It reads the machine's tables: unless damage found there is marked, every start ends here.
        with store.tables_guard:
            self._node = Node(setup, store, _now(), _wall())
        self._stop_by: float | None = None
        #: When the last turn ended; when the chores are due; how far the wall clock is ahead.
        self._now = self._chores_at = _now()
        self._wall_base = _wall() - self._now
        self._throttle = Throttle()
        self._gauge = DiskGauge(
            config.data,
            config.disk_reserve,
            self._disk,
            lambda: store.sizes().database_bytes,
            self._node.tell,
        )
        http_key = None if admission is None else admission.http_key
        self._http = HttpChild(config, self._node.tell, http_key) if config.http else None
        self._listen_to_signals()

    def _listen_to_signals(self) -> None:
        self._signals, self._signals_in = socket.socketpair()
        self._signals_fd = self._signals.fileno()
        self._transport.watch(self._signals_fd)
        self._transport.watch(self._store.wake_fd)
        self._signals_in.setblocking(False)
        signal.set_wakeup_fd(self._signals_in.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)  # the wake-up byte is the message
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # see cli/signals.py

    def run(self) -> None:
        """Serve until a signal; then hand leadership over and return."""
        self._node.tell(_started(self._config, self._node.times.timing))
        # What exists now lives as long as the process; collecting it again and again is a pause.
        gc.collect()
        gc.freeze()
        # Nothing here makes cycles in numbers, and every look for some is a pause.
        gc.set_threshold(GC_OBJECTS, GC_GENERATION, GC_GENERATION)
        try:
            with self._store.tables_guard:  # the machine's tables are on the same disk
                while self._stop_by is None or not self._stopped(self._stop_by):
                    self._turn()
                self._node.rest()
        finally:
            if self._http is not None:
                self._http.close()

    def _turn(self) -> None:
        node, transport = self._node, self._transport
        pause = node.wake_at - self._now
        if pause < 0:
            pause = 0
        rest = 0.0
        if self._throttle.rests and (left := self._throttle.left(time.monotonic())):
            rest = 0.0 if node.leads else left
        if rest:
            pause = min(pause, ceil(rest * 1_000))
        patience = node.patient_until - self._now
        ready = transport.poll(pause, anyone=not rest, patience=patience)
        began, written = time.monotonic_ns(), self._store.commit_ns
        now = began // 1_000_000
        self._carry_out(ready, now)
        if patience > 0 and ready:
            self._hear_late()
        ended = time.monotonic_ns()
        self._now = ended // 1_000_000
        took_us = (ended - began) // 1_000
        self._facts.turns.add(took_us)
        if took_us >= STALL_US:
            self._facts.stalls += 1
        took = self._now - now
        if took >= self._config.slow_turn:
            node.tell(SlowTurn(took, (self._store.commit_ns - written) // 1_000_000))

    def _tell(self, epoch: int, event: Event) -> None:
        self._facts.told(epoch, event, _now(), _wall())
        event_logging.write(epoch, event)

    def _own_facts(self) -> BrokerFacts:
        store, sizes = self._store, self._store.sizes()
        stored = Stored(
            *(store.fsyncs.told(), store.checkpoints.told()),
            *(sizes.log_entries, sizes.log_bytes, sizes.wal_bytes, sizes.database_bytes),
            damaged=store.damage is not None,
        )
        return self._facts.facts(_now(), _wall(), stored)

    def _carry_out(self, ready: Sequence[object], now: int) -> None:
        node, transport = self._node, self._transport
        if now >= self._chores_at or transport.resolved in ready:
            self._chores_at = now + CHORES_MS
            self._wall_base = _wall() - now
            transport.tend(now)
            pass_time()
            self._gauge.tend(now)
            if node.leads and self._disk.hands_over(now):
                node.hand_over(now)
            if self._http is not None:
                self._http.tend(now)
        node.wake(now, now + self._wall_base)
        if self._signals_fd in ready:
            self._obey(self._signals.recv(64), now)
        anyone = transport.anyone
        if ready != [anyone]:
            for name, up in transport.link_changes(now):
                node.link(name, up, now)
            for name, frame in transport.from_peers(ready):
                node.receive_peer(name, frame, now)
        if anyone in ready:
            self._hear_anyone(now)
        for routing in transport.tidy():
            node.unreachable(routing, transport.why_closed(routing))
        node.turn(now)

    def _hear_late(self) -> None:
        """What other brokers said that nothing hung on: a turn has sent its own, and waits anyway.

        What came meanwhile and leaves something to be done has its turn at once: of two
        acknowledgements the first one commits, and the client should not wait for the second.
        """
        node, now = self._node, time.monotonic_ns() // 1_000_000
        node.wake(now, now + self._wall_base)
        for name, frame in self._transport.from_peers(self._transport.late()):
            node.receive_peer(name, frame, now)
            if not node.quiet:
                node.turn(now)

    def _hear_anyone(self, now: int) -> None:
        garbage = 0
        began = ended = time.monotonic()
        for routing, frame, user in self._transport.from_anyone():
            grant = None
            if self._admission is not None and (grant := self._admission.grant(user)) is None:
                continue  # revoked; what it had sent by then still comes
            if not self._node.receive(routing, frame, now, grant):
                self._transport.count_violation(routing)
                garbage += 1
            ended = time.monotonic()
            if garbage >= TURN_GARBAGE or ended - began >= TURN_READS_S:
                break
        if not self._node.leads:
            self._throttle.earned(began, ended)

    def _obey(self, signals: bytes, now: int) -> None:
        """Each byte is a signal's number."""
        if signal.SIGHUP in signals and self._admission is not None:
            self._reload(self._admission, now)
        if set(signals) - {signal.SIGHUP}:
            self._begin_stop(now)

    def _reload(self, admission: Admission, now: int) -> None:
        try:
            changed = admission.reload()
        except AccessListRefused as error:
            self._node.tell(AccessNotReloaded(str(error)))
            return
        self._transport.cut(changed, now)
        self._node.tell(AccessReloaded(admission.digest, len(changed)))

    def _begin_stop(self, now: int) -> None:
        if self._stop_by is None:
            self._node.tell(BrokerStops(self._node.leads))
            self._stop_by = time.monotonic() + self._config.hand_over_timeout / 1_000
            self._node.hand_over(now)

    def _stopped(self, stop_by: float) -> bool:
        return not self._node.leads or time.monotonic() > stop_by
