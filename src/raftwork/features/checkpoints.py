"""Checkpoints: what an attempt leaves for the next one of its task.

1. A checkpoint is replicated before its task's code goes on, and goes with the task's outcome.
   Losses, retries and a Resume keep it.
2. Only the attempt whose token is current changes it, one at a time: so it never goes back.
3. Each is bounded, and all of them together: they wait with their tasks, of which there may be
   a million.
"""

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from raftwork.features.effects import CheckpointDecided, Effect
from raftwork.features.task_row import CHECKPOINTED
from raftwork.messages.registry import command, to_broker, to_worker

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.features.feature import Feature
    from raftwork.features.lifecycle import Entering
    from raftwork.messages import Spec

#: Of one checkpoint, and of all together.
CHECKPOINT_BYTES_MAX = 64 * 1024
CHECKPOINTS_BYTES_MAX = 1024 * 1024 * 1024

_PUT = "INSERT OR REPLACE INTO checkpoint VALUES (?, ?)"
_SIZE = "SELECT length(value) FROM checkpoint WHERE seq = ?"
_FLAG = "UPDATE task SET flags = flags | ? WHERE seq = ?"


class Verdict(IntEnum):
    """What became of a checkpoint. A newer broker's is read as REFUSED."""

    REFUSED = 0
    KEPT = 1
    VOID = 2  # the attempt is over: its task is another's, or has its outcome
    LEVEL = 3  # the cluster is not at level 2 yet
    SIZE = 4
    FULL = 5  # all checkpoints together are as large as they may be

    @classmethod
    def _missing_(cls, value: object) -> "Verdict":  # noqa: ARG003
        return cls.REFUSED


@to_broker.register(130)
class KeepCheckpoint(NamedTuple):
    """A worker's: the attempt under this token leaves a checkpoint, its so-manieth."""

    session: int
    token: int
    number: int
    value: bytes


@to_worker(130)
class CheckpointAnswered(NamedTuple):
    """The fate of that checkpoint: kept once it is on a majority's disks."""

    epoch: int
    session: int
    token: int
    number: int
    verdict: Verdict


@command(131, since=2)
class Note(NamedTuple):
    """Keep this checkpoint of the task under the token, in place of the last."""

    token: int
    number: int  # by which its worker knows it
    value: bytes


def note(ledger: "Ledger", command: Note, effects: list[Effect]) -> None:
    """See Note. What may not be is refused by the effect: no client asked for it."""
    verdict = _note(ledger, command)
    effects.append(CheckpointDecided(command.token, command.number, verdict))


def _note(ledger: "Ledger", command: Note) -> Verdict:
    run, size = ledger.running.get(command.token), len(command.value)
    if run is None:
        return Verdict.VOID
    if size > CHECKPOINT_BYTES_MAX:
        return Verdict.SIZE
    grown = size - _size(ledger, run.seq, run.flags)
    if ledger.checkpoint_bytes + grown > CHECKPOINTS_BYTES_MAX:
        return Verdict.FULL
    ledger.checkpoint_bytes += grown
    ledger.db.execute(_PUT, (run.seq, command.value))
    if not run.flags & CHECKPOINTED:
        ledger.db.execute(_FLAG, (CHECKPOINTED, run.seq))
        ledger.running[run.token] = run._replace(flags=run.flags | CHECKPOINTED)
    return Verdict.KEPT


def _size(ledger: "Ledger", seq: int, flags: int) -> int:
    if not flags & CHECKPOINTED:
        return 0
    ((size,),) = ledger.db.execute(_SIZE, (seq,))
    return int(size)


def _enters(_ledger: "Ledger", _spec: "Spec", _task: "Entering") -> None:
    """No task has one before it has run."""


def _ended(ledger: "Ledger", seq: int, flags: int) -> None:
    ledger.checkpoint_bytes -= _size(ledger, seq, flags)
    ledger.db.execute("DELETE FROM checkpoint WHERE seq = ?", (seq,))


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Feature, transition
    from raftwork.features.lifecycle import Lifecycle

    return Feature(
        "checkpoints",
        transitions=[transition(Note, note)],
        lifecycles=[Lifecycle(CHECKPOINTED, _enters, _ended)],
    )
