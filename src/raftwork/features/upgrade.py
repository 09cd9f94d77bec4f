"""The cluster's level: what a committed command raises for all replicas at once.

1. The level decides what entries mean (release.py). It only grows, by a `Raise`, at one entry for
   all replicas; replaying the log therefore does the same again, whichever release replays it.
2. A new cluster, and one of 0.1.0, is at level 0 until its first leader has raised it, by the first
   command that it proposes: to the highest level that all brokers run that it has heard from. One
   that it has not heard from might be of an old release: where there are tasks already, that keeps
   the cluster at the lowest level; an empty cluster begins at the highest. Until it is applied, the
   leader serves nobody: it would refuse for good what needs the level.
3. Later it is raised only because it was asked for, and only if every broker answers and runs the
   level: one that is away might come back with a release that does not.
4. A replica whose release does not run a level stops at the entry that sets it, before it commits,
   and says which release does.
"""

from typing import TYPE_CHECKING, NamedTuple

from raftwork.errors import Unsupported
from raftwork.features.effects import Done, Effect
from raftwork.features.event_journal import EventKind, Happened
from raftwork.messages.registry import command, reply, request
from raftwork.release import RELEASE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.effects import Reply
    from raftwork.features.feature import Feature
    from raftwork.messages.registry import Command

# ---- records ------------------------------------------------------------------------------------


@reply(70)
class UpgradeFinished(NamedTuple):
    """The cluster is at `level`, for good; it was at `before` when that was asked for."""

    request: int
    level: int
    before: int


@request(70, reply=UpgradeFinished)
class FinishUpgrade(NamedTuple):
    """Take the cluster to the highest level of the leader's release, if every broker runs it."""

    request: int


@command(70)
class Raise(NamedTuple):
    """Take the cluster to this level, for good."""

    level: int
    release: str  # that of the leader, which runs the level


# ---- on the leader ------------------------------------------------------------------------------


class _Raising:
    """A raise on its way into the log."""

    def __init__(self, level: int, before: int) -> None:
        self._raise, self._before = Raise(level, RELEASE), before

    def command(self, _view: "View") -> Raise:
        return self._raise

    def applied(self, _view: "View", reply: "Reply") -> "Reply":
        """Its fate, with the level that was before."""
        return Done(self._before) if isinstance(reply, Done) else reply


def _check(view: "View", _request: FinishUpgrade) -> _Raising | Done:
    level, target = view.machine.level, view.machine.levels.most
    if level >= target:
        return Done(level)
    if lacking := _lacking(view, target):
        raise Unsupported(f"the cluster stays at level {level}: {lacking}")
    return _Raising(target, level)


def _answer(view: "View", request: FinishUpgrade, done: Done) -> UpgradeFinished:
    return UpgradeFinished(request.request, view.machine.level, done.affected)


def _lacking(view: "View", target: int) -> str:
    """What keeps the cluster from this level; empty if nothing does."""
    said = []
    for name, member in view.members().items():
        if member is None:
            said.append(f"broker {name} does not answer the leader; start it")
        elif target not in member.levels:
            said.append(
                f"broker {name} is of raftwork {member.release or 'unknown'}, which runs"
                f" {member.levels}; start it with {RELEASE}"
            )
    return ", and ".join(said)


def _begin(view: "View") -> "Sequence[Command]":
    """The first level of a cluster that has none."""
    machine = view.machine
    if machine.level:
        return ()
    mine, others = machine.levels, view.members().values()
    # In a cluster that never was, who has not come yet is no reason to do without what is new.
    unheard = mine.most if machine.blank else mine.least
    known = (unheard if other is None else other.levels.most for other in others)
    return (Raise(max(1, min((mine.most, *known))), RELEASE),)


# ---- on every replica ---------------------------------------------------------------------------


def raise_level(ledger: "Ledger", command: Raise, _effects: list[Effect]) -> None:
    """Go to the command's level, unless the cluster is there already. Raises OtherRelease."""
    if command.level > ledger.level:
        ledger.raise_level(command.level, command.release)
        ledger.journal.note(Happened(EventKind.LEVEL_RAISED, text=str(command.level)))


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, change, transition

    return Feature(
        "upgrades",
        rules=[change(FinishUpgrade, _check, _answer)],
        transitions=[transition(Raise, raise_level)],
        budget=Budget(requests=100),
        begins=_begin,
    )
