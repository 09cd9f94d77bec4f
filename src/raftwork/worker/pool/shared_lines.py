"""The newest lines that each child logged, in memory that it shares with the worker.

To log costs the child a copy into that memory and nobody wakes for it; it stays when the child is
dead. The worker looks where somebody follows a task. A ring for each slot:

1. The child moves `first` past the records that it is about to overwrite, then writes, then moves
   `end` behind what it wrote. What lies between the two is whole, at any moment.
2. The worker copies the ring and looks at `first` again: what lies before it was overwritten
   meanwhile, and is lost.
"""

from __future__ import annotations

import mmap
import struct
import threading
from typing import TYPE_CHECKING, Final

from raftwork.worker.task_lines import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Of a slot: where the oldest record begins and the newest one ends, both counted for ever, and
#: the token of the newest one.
_HEAD: Final = struct.Struct("=QQQ")
_WORD: Final = struct.Struct("=Q")
_FIRST, _END, _TOKEN = 0, 8, 16
#: Of a record: bytes of its text, token, ms.
_RECORD: Final = struct.Struct("=HQQ")
#: Of a ring.
RING_BYTES: Final = 32 * 1024
_SLOT_BYTES: Final = _HEAD.size + RING_BYTES


class SharedLines:
    """The worker's side. Make it before forking."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._memory = mmap.mmap(-1, slots * _SLOT_BYTES)

    def of_child(self, slot: int) -> ChildLines:
        """For the child of this slot."""
        return ChildLines(self._memory, slot * _SLOT_BYTES)

    def slot_of(self, token: int) -> int | None:
        """Where the task of this token logs; None if another one has logged there since."""
        memory = self._memory
        for slot in range(self._slots):
            if _WORD.unpack_from(memory, slot * _SLOT_BYTES + _TOKEN) == (token,):
                return slot
        return None

    def read(self, slot: int, token: int, after: int) -> tuple[int, Sequence[Line], bool]:
        """Where the newest line ends, those of this token that begin at `after` or later, and
        whether lines that began there are gone."""
        memory, at = self._memory, slot * _SLOT_BYTES
        (end,) = _WORD.unpack_from(memory, at + _END)
        if end <= after:
            return end, (), False
        ring = memory[at + _HEAD.size : at + _SLOT_BYTES]
        (first,) = _WORD.unpack_from(memory, at + _FIRST)  # behind what was overwritten meanwhile
        lines, place = list[Line](), max(first, after)
        while place < end:
            size, whose, since = _RECORD.unpack(_cut(ring, place, _RECORD.size))
            place += _RECORD.size
            if whose == token:
                lines.append(Line(since, _cut(ring, place, size)))
            place += size
        return end, lines, first > after


class ChildLines:
    """The child's side."""

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory, self._at = memory, at
        self._lock = threading.RLock()
        self._adding = False

    def add(self, token: int, line: Line) -> None:
        """One more line of this token. Threads may call it.

        What a signal's handler logs within another call is dropped: it would wait for ever for that
        call, or spoil what it writes.
        """
        record = _RECORD.pack(len(line.data), token, line.at) + line.data
        with self._lock:
            if not self._adding:
                self._adding = True
                try:
                    self._add(token, record)
                finally:
                    self._adding = False

    def _add(self, token: int, record: bytes) -> None:
        memory, at = self._memory, self._at
        first, end, _ = _HEAD.unpack_from(memory, at)
        while end + len(record) - first > RING_BYTES:
            size, *_ = _RECORD.unpack(self._read(first, _RECORD.size))
            first += _RECORD.size + size
        _WORD.pack_into(memory, at + _FIRST, first)
        self._write(end, record)
        _WORD.pack_into(memory, at + _TOKEN, token)
        _WORD.pack_into(memory, at + _END, end + len(record))

    def _read(self, place: int, size: int) -> bytes:
        begin = self._at + _HEAD.size
        at = place % RING_BYTES
        part = self._memory[begin + at : begin + min(at + size, RING_BYTES)]
        return part + self._memory[begin : begin + size - len(part)]

    def _write(self, place: int, data: bytes) -> None:
        begin = self._at + _HEAD.size
        at = place % RING_BYTES
        part = data[: RING_BYTES - at]
        self._memory[begin + at : begin + at + len(part)] = part
        rest = data[len(part) :]
        self._memory[begin : begin + len(rest)] = rest


def _cut(ring: bytes, place: int, size: int) -> bytes:
    at = place % RING_BYTES
    part = ring[at : at + size]
    return part + ring[: size - len(part)]
