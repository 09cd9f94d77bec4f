"""Counts how long snapshots take, by what a replica tells of them. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.consensus.replica_events import (
    SnapshotBegun,
    SnapshotInstalled,
    SnapshotMade,
    SnapshotOffered,
    SnapshotReceived,
    SnapshotSent,
)
from raftwork.features.wait_times import DurationCounter
from raftwork.messages.facts import SnapshotTimes

if TYPE_CHECKING:
    from raftwork.broker.events import Event


class SnapshotClock:
    """Of one broker since its start. What comes to nothing is not counted."""

    def __init__(self) -> None:
        self._make, self._send, self._install = (DurationCounter() for _ in range(3))
        self._making = self._installing = 0
        #: Since when, by the broker to which one is sent.
        self._sending: dict[str, int] = {}

    def told(self, event: Event, now: int) -> None:
        """The replica told of this, at `now` (ms)."""
        match event:
            case SnapshotBegun():
                self._making = now
            case SnapshotMade():
                self._make.add(now - self._making)
            case SnapshotOffered():
                self._sending[event.to] = now
            case SnapshotSent() if event.to in self._sending:
                self._send.add(now - self._sending.pop(event.to))
            case SnapshotReceived():
                self._installing = now
            case SnapshotInstalled():
                self._install.add(now - self._installing)
            case _:
                pass

    def times(self) -> SnapshotTimes:
        """How long they took so far."""
        return SnapshotTimes(self._make.told(), self._send.told(), self._install.told())
