"""A snapshot on its way in chunks, as either protocol does it.

The leader sends a window of chunks; the peer keeps only the next one it misses and answers with
how far it is, so a transfer resumes wherever it broke off. Chunks that were lost are sent again
once a heartbeat passes without progress. What a chunk or its answer looks like is the protocol's.

A snapshot that cannot be made, read or installed is tried again after a growing pause: whatever is
wrong is no reason for the leader to end, nor for a follower to have all of it sent without end.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from raftwork.consensus.core import Position, Snapshot
from raftwork.net.backoff import Pause

#: After a snapshot failed, at first and at most (ms).
PAUSE_MS: Final = 1_500
PAUSE_MAX_MS: Final = 12_000


@dataclass(slots=True)
class Outgoing:
    """A snapshot on its way to a peer: `acked` bytes have arrived, `sent` left."""

    snapshot: Snapshot
    acked: int = 0
    sent: int = 0
    #: `acked` at the last heartbeat: no progress since then means that chunks were lost.
    seen: int = -1

    def due(self, chunk: int, window: int) -> Iterator[int]:
        """Offsets of the chunks to send now, of `chunk` bytes and `window` at a time."""
        limit = min(self.snapshot.size, self.acked + window * chunk)
        while self.sent < limit:
            offset = self.sent
            self.sent = min(offset + chunk, self.snapshot.size)
            yield offset

    def stuck(self) -> bool:
        """At a heartbeat: go back to what the peer last said it had, if nothing moved since.

        True if it has everything by its own word: it must be asked what became of it.
        """
        still = self.seen == self.acked
        self.seen = self.acked
        if still:
            self.sent = self.acked
        return still and self.acked == self.snapshot.size

    def replied(self, offset: int, wanted: int) -> None:
        """The peer answers the chunk at `offset`: the first byte it misses is `wanted`."""
        if self.acked < wanted <= self.snapshot.size:
            self.acked = wanted
            self.sent = max(self.sent, wanted)
        elif wanted < offset == self.acked:
            # It lost what it had (a restart): what it was sent next lies behind what it wants.
            self.acked = self.sent = wanted


@dataclass(slots=True)
class Incoming:
    """A snapshot being received. While `installing`, the log takes nothing."""

    snapshot: Snapshot
    have: int = 0
    installing: bool = False

    def takes(self, offset: int, size: int) -> bool:
        """Whether this chunk is the one that is missing: then it counts as kept."""
        if offset != self.have:
            return False
        self.have += size
        self.installing = self.have == self.snapshot.size
        return True


@dataclass(slots=True)
class Archive:
    """This replica's own snapshot file, made for peers that lag behind the log."""

    made: Snapshot | None = None
    #: What was applied when the one being made was asked for.
    making: Position | None = None
    #: Until the next one may be made. It grows until a peer has got somewhere by one.
    pause: Pause = field(default_factory=lambda: Pause(PAUSE_MS, PAUSE_MAX_MS))

    def ended(self, snapshot: Snapshot | None, now: int) -> None:
        """The file asked for is ready, or (None) could not be made, or be read any more."""
        self.making, self.made = None, snapshot
        if snapshot is None:
            self.pause.failed(now)
