"""Faults on running processes, one at a time: begun, recorded, and ended again."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Concatenate, Literal, ParamSpec, Protocol

from raftwork.chaos import socket_filters
from raftwork.chaos.history import Healed, Struck, now
from raftwork.chaos.processes import Brokers, Command, Process

Kind = Literal["kill", "pause", "partition", "lossy"]
KINDS: tuple[Kind, ...] = ("kill", "pause", "partition", "lossy")
#: The roles that each kind can hit. `random` is any broker.
ROLES: dict[Kind, tuple[str, ...]] = {
    "kill": ("leader", "follower", "worker", "client", "random", "all"),
    "pause": ("leader", "follower", "worker", "client", "random"),
    "partition": ("leader", "follower", "random"),
    "lossy": ("leader", "follower", "random"),
}
#: The share of packets a lossy link loses.
LOSS = 0.2
#: Seconds a killed process may take to be gone.
GONE_WITHIN_S = 30.0

DIRECTIONS: tuple[socket_filters.Direction, ...] = ("both", "in", "out")

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault and the role of the process it hits."""

    kind: Kind
    role: str


class NoVictim(Exception):
    """No process of that role is running."""


class Signalled(Protocol):
    """A process as far as faults need it."""

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        ...

    def wait(self, timeout: float) -> object:
        """Return once the process has ended, after `timeout` seconds at the latest."""
        ...


@dataclass(frozen=True, slots=True)
class Victim:
    """A process that a fault may hit."""

    name: str
    process: Signalled
    #: Called while it lives; what it returns starts it again after its death.
    prepare_revival: Callable[[], Callable[[], object]]


class Reviver:
    """Makes victims of processes that others started, and starts them again."""

    def __init__(self, *, stay_dead: bool = False) -> None:
        self._stay_dead = stay_dead
        self._revived: list[subprocess.Popen[bytes]] = []

    def victim(self, process: Process) -> Victim:
        """The process as a victim that is started again after its death."""

        def prepare() -> Callable[[], object]:
            if self._stay_dead:
                return lambda: None
            command = Command(process)
            return lambda: self._revived.append(command.start())

        return Victim(process.name, process, prepare)

    def end(self) -> None:
        """Kill every process that was started again: for a cluster of the trial's own."""
        for process in self._revived:
            process.kill()
            process.wait()


class Nemesis:
    """Injects faults. `others` finds victims that are no brokers, by role; `write` records."""

    def __init__(
        self,
        brokers: Brokers,
        others: Mapping[str, Callable[[], Sequence[Victim]]],
        reviver: Reviver,
        write: Callable[[Struck | Healed], None],
        rng: Random,
    ) -> None:
        self._brokers = brokers
        self._others = others
        self._reviver = reviver
        self._write = write
        self._rng = rng

    def check(self, faults: Sequence[Fault]) -> None:
        """Check that these faults are possible here. Raises PermissionError."""
        if any(fault.kind in ("partition", "lossy") for fault in faults):
            socket_filters.heal(self._brokers.running())

    def strike(self, fault: Fault, lasting: float) -> None:
        """Inject a fault, and end it after `lasting` s. Raises NoVictim before doing anything."""
        running = self._brokers.running()
        role, victims = self._choose(fault.role, running)
        match fault.kind:
            case "kill":
                self._kill(role, victims, lasting)
            case "pause":
                self._pause(role, victims, lasting)
            case "partition":
                direction = self._rng.choice(DIRECTIONS)
                label = "partition" if direction == "both" else f"partition-{direction}"
                with self._written(label, role, victims):
                    self._spoil(running, lasting, socket_filters.cut, victims[0].name, direction)
            case "lossy":
                with self._written("lossy", role, victims):
                    self._spoil(running, lasting, socket_filters.lose, victims[0].name, LOSS)

    # ---- victims ------------------------------------------------------------------------------

    def _choose(self, role: str, running: Mapping[str, Process]) -> tuple[str, list[Victim]]:
        """The victims, with the role they really have."""
        if role in self._others:
            found = self._others[role]()
            return role, [self._rng.choice(self._some(found, role))]
        brokers = [self._reviver.victim(process) for process in running.values()]
        if role == "all":
            return role, list(self._some(brokers, role))
        leader = self._brokers.see().leader
        chosen = [
            victim
            for victim in brokers
            if role == "random" or (victim.name == leader) == (role == "leader")
        ]
        victim = self._rng.choice(self._some(chosen, role))
        return "leader" if victim.name == leader else "follower", [victim]

    def _some(self, found: Sequence[Victim], role: str) -> Sequence[Victim]:
        if not found:
            raise NoVictim(f"no {role} is running" if role != "random" else "no broker is running")
        return found

    # ---- faults -------------------------------------------------------------------------------

    def _kill(self, role: str, victims: Sequence[Victim], lasting: float) -> None:
        revivals = [victim.prepare_revival() for victim in victims]
        with self._written("kill", role, victims):
            try:
                for victim in victims:
                    victim.process.signal(signal.SIGKILL)
                for victim in victims:
                    victim.process.wait(GONE_WITHIN_S)
                time.sleep(lasting)
            finally:  # an interrupt must end the fault, too
                for revive in revivals:
                    revive()

    def _pause(self, role: str, victims: Sequence[Victim], lasting: float) -> None:
        with self._written("pause", role, victims):
            try:
                for victim in victims:
                    victim.process.signal(signal.SIGSTOP)
                time.sleep(lasting)
            finally:
                for victim in victims:
                    victim.process.signal(signal.SIGCONT)

    def _spoil(
        self,
        running: Mapping[str, Process],
        lasting: float,
        spoil: Callable[Concatenate[Mapping[str, Process], P], None],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        try:
            spoil(running, *args, **kwargs)
            time.sleep(lasting)
        finally:
            socket_filters.heal(running)

    @contextmanager
    def _written(self, fault: str, role: str, victims: Sequence[Victim]) -> Iterator[None]:
        names = "+".join(victim.name for victim in victims)
        self._write(Struck(now(), fault, role, names))
        yield
        self._write(Healed(now(), fault, names))
