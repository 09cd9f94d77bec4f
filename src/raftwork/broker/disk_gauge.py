"""Looks once a second how much is free on the disk of a broker's directory, and tells people.

What follows from it is decided in disk_space.py.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from raftwork.broker.peer_events import DiskGetsFull, DiskHasRoom, DiskLow
from raftwork.broker.store.ballast import BALLAST_BYTES, free_bytes, keep_ballast

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from raftwork.broker.disk_space import DiskSpace
    from raftwork.broker.events import Event

#: Between two looks, ms.
EVERY_MS: Final = 1_000


class Stage(IntEnum):
    """How much room there is."""

    ENOUGH = 0
    SCARCE = 1
    LOW = 2


class DiskGauge:
    """Of one broker. Times are monotonic ms."""

    def __init__(
        self,
        data: Path,
        reserve_bytes: int,
        space: DiskSpace,
        size: Callable[[], int],
        tell: Callable[[Event], None],
        free: Callable[[Path], int | None] = free_bytes,
    ) -> None:
        """`size()` is that of the database; a snapshot takes as much again."""
        self._data, self._reserve, self._space = data, reserve_bytes, space
        self._size, self._tell, self._free = size, tell, free
        self._at: int | None = None
        self._stage = Stage.ENOUGH
        #: Whether the file system can keep ballast.
        self._keeps = True

    def tend(self, now: int) -> None:
        """Look, if it is time."""
        if not self._reserve or (self._at is not None and now - self._at < EVERY_MS):
            return
        self._at = now
        free = self._free(self._data)
        if free is None:
            return
        self._space.look(free, now)
        stage = self._stage_at(free)
        if stage is not self._stage:
            self._stage = stage
            self._tell(self._event(stage, free))
        if self._keeps and free >= 2 * (self._reserve + BALLAST_BYTES):
            self._keeps = keep_ballast(self._data)

    def _scarce(self) -> int:
        return max(2 * self._reserve, self._size())

    def _stage_at(self, free: int) -> Stage:
        if self._space.room.low:
            return Stage.LOW
        # An eighth more, for what ends it, too.
        edge = self._scarce()
        edge += edge // 8 if self._stage is not Stage.ENOUGH else 0
        return Stage.SCARCE if free < edge else Stage.ENOUGH

    def _event(self, stage: Stage, free: int) -> DiskLow | DiskGetsFull | DiskHasRoom:
        if stage is Stage.LOW:
            return DiskLow(free, self._reserve)
        return DiskGetsFull(free, self._reserve) if stage is Stage.SCARCE else DiskHasRoom(free)
