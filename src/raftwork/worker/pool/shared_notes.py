"""What the children's tasks say of themselves, for the pool that they belong to.

Progress stands in memory that a child shares with the worker: to say it is to write some bytes,
and nobody wakes for it. A checkpoint goes through the child's channel; its verdict comes back
through that memory, where the child looks for it.
"""

import itertools
import mmap
import socket
import struct
import threading
import time
from typing import Final

from raftwork.features.checkpoints import Verdict
from raftwork.features.progress import TEXT_BYTES_MAX
from raftwork.messages import Outcome
from raftwork.wire import pack
from raftwork.worker.last_lines import with_last_lines
from raftwork.worker.pool.captured_output import OutputCapture
from raftwork.worker.pool.channel import send
from raftwork.worker.pool.shared_lines import ChildLines, SharedLines
from raftwork.worker.task_lines import Line, NewLines, Read
from raftwork.worker.task_notes import Asked, Said

#: Writes so far, odd while one is under way; then what is said: token, ms, fraction, bytes.
_COUNT: Final = struct.Struct("=Q")
_SAID: Final = struct.Struct("=QQdH")
#: The verdict's token, and its number with the verdict in the last eight bits (0: none).
_TOKEN: Final = struct.Struct("=Q")
_VERDICT: Final = struct.Struct("=Q")
_AT_SAID: Final = _COUNT.size
_AT_TEXT: Final = _AT_SAID + _SAID.size
_AT_TOKEN: Final = 1024 - 16
_AT_VERDICT: Final = 1024 - 8
_SLOT_BYTES: Final = 1024
assert _AT_TEXT + TEXT_BYTES_MAX <= _AT_TOKEN
#: Of a checkpoint's packet; an outcome's has more.
CHECKPOINT_FIELDS: Final = 3
#: Tasks of which it is known where they log, because somebody follows them.
_FOLLOWED_MAX: Final = 256
#: Looks at what is being written, before it is left for the next time.
_LOOKS: Final = 3


class SharedNotes:
    """The pool's side. Create it before forking."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._memory = mmap.mmap(-1, slots * _SLOT_BYTES)
        self._asked: list[Asked] = []
        self._slot_of: dict[int, int] = {}  # of tokens with a checkpoint without a verdict
        self._logs = SharedLines(slots)
        self._logged_in: dict[int, int | None] = {}  # slots of those that are followed, if known
        #: What they print, if that is captured.
        self.printed: OutputCapture | None = None

    def said(self) -> list[Said]:
        """What the task that each child ran last said last."""
        found = (self._read(slot) for slot in range(self._slots))
        return [said for said in found if said is not None]

    def _read(self, slot: int) -> Said | None:
        memory, at = self._memory, slot * _SLOT_BYTES
        for _ in range(_LOOKS):
            (before,) = _COUNT.unpack_from(memory, at)
            token, since, fraction, size = _SAID.unpack_from(memory, at + _AT_SAID)
            text = memory[at + _AT_TEXT : at + _AT_TEXT + min(size, TEXT_BYTES_MAX)]
            if before % 2 == 0 and _COUNT.unpack_from(memory, at) == (before,):
                return (
                    Said(token, fraction, text.decode("utf-8", "replace"), since) if token else None
                )
        return None

    def came(self, slot: int, token: int, number: int, value: bytes) -> None:
        """The task in this slot asks for a checkpoint."""
        self._slot_of[token] = slot
        self._asked.append(Asked(token, number, value))

    def asked(self) -> list[Asked]:
        """Checkpoints since the last call."""
        out, self._asked = self._asked, []
        return out

    def answer(self, token: int, number: int, verdict: Verdict) -> None:
        """That is what became of a checkpoint."""
        slot = self._slot_of.pop(token, None)
        if slot is None:
            return
        memory, at = self._memory, slot * _SLOT_BYTES
        _VERDICT.pack_into(memory, at + _AT_VERDICT, 0)  # or it would stand for the new token
        _TOKEN.pack_into(memory, at + _AT_TOKEN, token)
        _VERDICT.pack_into(memory, at + _AT_VERDICT, number << 8 | verdict)

    def ended(self, token: int, slot: int) -> None:
        """Its code is over, which ran in this slot."""
        if self._slot_of:
            self._slot_of.pop(token, None)
        if token in self._logged_in:
            self._logged_in[token] = slot

    def lines(self, token: int, read: Read) -> NewLines:
        """See LogSource."""
        if len(self._logged_in) > _FOLLOWED_MAX:
            self._logged_in.clear()
        slot = self._logged_in.get(token)
        if slot is None:
            slot = self._logged_in[token] = self._logs.slot_of(token)
        (at, printed_to), lines, lost = read, list[Line](), False
        if slot is not None:
            at, logged, lost = self._logs.read(slot, token, at)
            lines += logged
        if self.printed is not None:
            before = printed_to
            printed_to, printed = self.printed.lines(token, before)
            lines = sorted([*lines, *printed], key=_at)
            lost = lost or printed_to - len(printed) > before
        return NewLines((at, printed_to), lines, lost)

    def with_last_lines(self, outcome: Outcome, *, printed: bool = True) -> Outcome:
        """See TaskNotes; with `printed`, also with what it printed, if that is captured."""
        token, lines = outcome.token, list[Line]()
        slot = self._logs.slot_of(token)
        if slot is not None:
            lines += self._logs.read(slot, token, 0)[1]
        if printed and self.printed is not None:
            lines = sorted([*lines, *self.printed.records(token)], key=_at)
        return with_last_lines(outcome, lines)

    def of_child(self, slot: int, end: socket.socket) -> "ChildNotes":
        """For the child of this slot, with its end of the channel."""
        return ChildNotes(self._memory, slot * _SLOT_BYTES, end, self._logs.of_child(slot))


def _at(line: Line) -> int:
    return line.at


class ChildNotes:
    """The child's side: see `task_notes.Notes`."""

    def __init__(self, memory: mmap.mmap, at: int, end: socket.socket, lines: ChildLines) -> None:
        self._memory, self._at, self._end = memory, at, end
        self._lines = lines
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def say(self, token: int, fraction: float, text: str) -> None:
        """See Notes."""
        memory, at, data = self._memory, self._at, text.encode()
        since = time.monotonic_ns() // 1_000_000
        with self._lock:
            (count,) = _COUNT.unpack_from(memory, at)
            count |= 1  # the last child may have died of its write
            _COUNT.pack_into(memory, at, count)
            _SAID.pack_into(memory, at + _AT_SAID, token, since, fraction, len(data))
            memory[at + _AT_TEXT : at + _AT_TEXT + len(data)] = data
            _COUNT.pack_into(memory, at, count + 1)

    def log(self, token: int, line: Line) -> None:
        """See Notes."""
        self._lines.add(token, line)

    def ask(self, token: int, value: bytes) -> int:
        """See Notes."""
        with self._lock:
            number = next(self._numbers)
            send(self._end, pack((token, number, value)))
        return number

    def verdict(self, token: int, number: int) -> Verdict | None:
        """See Notes."""
        memory, at = self._memory, self._at
        (found,) = _VERDICT.unpack_from(memory, at + _AT_VERDICT)
        if found >> 8 < number or _TOKEN.unpack_from(memory, at + _AT_TOKEN) != (token,):
            return None
        if _VERDICT.unpack_from(memory, at + _AT_VERDICT) != (found,):
            return None
        return Verdict(found & 0xFF)
