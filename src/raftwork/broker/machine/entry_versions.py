"""Which entries and levels this release understands: a replica stops at any other.

Leaders propose nothing that cannot be read. So an entry that this release cannot read was written
by a newer one, whose replicas carry out what this one would skip.
"""

from typing import TYPE_CHECKING

from raftwork.broker.machine.commands import commands, decode_batch
from raftwork.errors import BadMessage, OtherRelease
from raftwork.features.upgrade import Raise
from raftwork.release import RELEASE, Levels

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger


def read_entry(ledger: "Ledger", data: bytes) -> tuple[int, list[object]]:
    """The time and the commands of an entry: see `decode_batch`.

    Raises BadMessage if this release cannot read it, OtherRelease at a level that it does not run.
    """
    time, batch = decode_batch(data)
    if ledger.level < ledger.levels.least and not _begins_with_raise(batch):
        check_level(ledger.level, ledger.release, ledger.levels)
    return time, batch


def _begins_with_raise(batch: list[object]) -> bool:
    """Whether an entry's commands are applied at the level that its first one sets."""
    return bool(batch) and isinstance(commands.from_plain(batch[0]), Raise)


def of_newer_release(at: tuple[int, int], error: BadMessage) -> OtherRelease:
    """Why the replica stops at the entry with this epoch and number, which cannot be read."""
    return OtherRelease(
        f"entry {at[0]}.{at[1]} was written by a newer release of raftwork than {RELEASE}"
        f" ({error}): start this broker with the release that the other brokers run"
    )


def check_level(level: int, release: str, levels: Levels, *, blank: bool = False) -> None:
    """Raise OtherRelease unless this release runs the level, which `release` set.

    Tables without an applied entry are at level 0 and fit any release: the first entry is a Raise.
    """
    if blank and level == 0:
        return
    if level > levels.most:
        raise OtherRelease(
            f"this cluster is at level {level}, raised by raftwork {release}; this is {RELEASE},"
            f" which runs {levels}: start this broker with raftwork {release} or later"
        )
    if level < levels.least:
        raise OtherRelease(
            f"this cluster is at level {level}; this is raftwork {RELEASE}, which runs {levels}:"
            f" start every broker with the last release that runs level {level}, run `raftwork"
            " upgrade finish`, and then start this one"
        )
