"""The cluster's level, as the active leader raises it. Sans-IO.

1. A new cluster, and one of 0.1.0, is at level 0 until its first leader has raised it, by the first
   command that it proposes: to the highest level that all brokers run, as far as it has heard from
   all of them; else to the lowest there is.
2. Later it is raised only because it was asked for, and only if every broker answers and runs the
   level: one that is away might come back with a release that does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from raftwork.broker.events import LevelRaised, unheard
from raftwork.broker.machine.commands import Raise
from raftwork.messages import Code, Refused, UpgradeFinished
from raftwork.release import RELEASE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from raftwork.broker.events import Event
    from raftwork.broker.machine import Machine
    from raftwork.broker.versions import Member
    from raftwork.messages import FinishUpgrade, FromBroker

#: Requests that wait for the log.
OPEN_MAX = 100


class PendingRaise(NamedTuple):
    """Whom to tell when the command is applied; without a routing id nobody asked."""

    routing: bytes
    request: int
    before: int


class Upgrades:
    """The raises of one leadership."""

    def __init__(
        self,
        machine: Machine,
        members: Callable[[], Mapping[str, Member | None]] = dict,
        tell: Callable[[Event], None] = unheard,
    ) -> None:
        """`members()` are the other brokers by name; None for one that does not answer now."""
        self._machine = machine
        self._members = members
        self._tell = tell
        self._frames: list[tuple[bytes, FromBroker]] = []
        self._commands: list[tuple[Raise, PendingRaise]] = []
        self._pending: set[PendingRaise] = set()
        if machine.level == 0:
            self._raise(self._first(), PendingRaise(b"", 0, 0))

    def ask(self, routing: bytes, request: FinishUpgrade) -> None:
        """Raise the level as far as this release goes."""
        level, target = self._machine.level, self._machine.levels.most
        pending = PendingRaise(routing, request.request, level)
        if pending in self._pending:
            return
        if level >= target:
            self._frames.append((routing, UpgradeFinished(request.request, level, level)))
        elif (lacking := self._lacking(target)) or len(self._pending) >= OPEN_MAX:
            text = f"the cluster stays at level {level}: {lacking or 'too many ask at once'}"
            self._frames.append((routing, Refused(request.request, Code.UNSUPPORTED, text)))
        else:
            self._raise(target, pending)

    def _first(self) -> int:
        mine, others = self._machine.levels, self._members().values()
        known = (mine.least if other is None else other.levels.most for other in others)
        return max(1, min((mine.most, *known)))

    def _lacking(self, target: int) -> str:
        """Who keeps the cluster from this level; empty if nobody does."""
        said = []
        for name, member in self._members().items():
            if member is None:
                said.append(f"broker {name} does not answer the leader; start it")
            elif target not in member.levels:
                said.append(
                    f"broker {name} is of raftwork {member.release or 'unknown'}, which runs"
                    f" {member.levels}; start it with {RELEASE}"
                )
        return ", and ".join(said)

    def _raise(self, level: int, pending: PendingRaise) -> None:
        self._pending.add(pending)
        self._commands.append((Raise(level, RELEASE), pending))

    def applied(self, pending: PendingRaise) -> None:
        """The level is raised."""
        self._pending.discard(pending)
        self._tell(LevelRaised(self._machine.level))
        if pending.routing:
            answer = UpgradeFinished(pending.request, self._machine.level, pending.before)
            self._frames.append((pending.routing, answer))

    def commands(self) -> list[tuple[Raise, PendingRaise]]:
        """What to propose, drained."""
        out, self._commands = self._commands, []
        return out

    def frames(self) -> list[tuple[bytes, FromBroker]]:
        """What to send, drained."""
        out, self._frames = self._frames, []
        return out
