"""The cluster's level, and its settings: what a committed command changes for all replicas at once.

Rules of this file:
1. The level decides what entries mean (release.py). It only grows, by a `Raise`, at one entry for
   all replicas; replaying the log therefore does the same again, whichever release replays it.
2. From level 1 on the shape of the tables is changed by the Raise that needs it, here, and by
   nothing else: replicas of two releases at one level must have the same rows.
3. A replica whose release does not run a level stops at the entry that sets it, before it commits,
   and says which release does.
"""

from raftwork.broker.machine import limits
from raftwork.broker.machine.commands import ClusterSettings, Raise, commands
from raftwork.broker.machine.schema import check_level
from raftwork.broker.machine.state import Ledger


def raise_level(ledger: Ledger, command: Raise) -> None:
    """Go to the command's level, unless the cluster is there already. Raises OtherRelease."""
    if command.level <= ledger.level:
        return
    check_level(command.level, command.release, ledger.levels)
    ledger.level, ledger.release = command.level, command.release
    ledger.db.execute("UPDATE cluster SET level = ?, release = ?", command)


def begins_with_raise(batch: list[object]) -> bool:
    """Whether an entry's commands are applied at the level that its first one sets."""
    return bool(batch) and isinstance(commands.from_plain(batch[0]), Raise)


def configure_cluster(ledger: Ledger, command: ClusterSettings) -> None:
    """Change limits. Raises as `limits.changed`."""
    ledger.limits = limits.changed(ledger.limits, command.values)
    limits.write(ledger.db, ledger.limits)
