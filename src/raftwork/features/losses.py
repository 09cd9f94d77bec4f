"""What a task lost: written down while it may lose more, and kept with the dead."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from raftwork.messages import Loss

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger, Running


def note_losses(ledger: "Ledger", runs: "Iterable[Running]", by: Loss) -> None:
    """These tasks ran when `by` was lost; their count says so already."""
    ledger.db.executemany(
        "INSERT INTO loss VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(r.seq, r.losses, by.worker, by.exit, by.signal, by.memory, ledger.time) for r in runs],
    )


def forget_losses(ledger: "Ledger", seqs: Iterable[int]) -> None:
    """Drop the losses of these tasks: they are of no use any more."""
    if rows := [(seq,) for seq in seqs]:
        ledger.db.executemany("DELETE FROM loss WHERE seq = ?", rows)
