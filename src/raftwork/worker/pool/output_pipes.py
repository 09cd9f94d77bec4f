"""What tasks print, as lines of the log (`--capture-output`).

Every child's standard output and error are a pipe, which the worker reads: a child that is killed
has left what it printed, and no thread of ours runs in it. Rules:

1. Between two tasks a child writes a mark into its pipe, so that a line is the task's that printed
   it, however late it is read.
2. A child that prints faster than the worker reads waits, as for any reader of a pipe. The worker
   reads a bounded part in each turn.
3. What Raftwork itself logs in a child goes to the worker's own standard error, as without a pipe.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from raftwork import logs
from raftwork.standard_streams import flush

#: Begins what a token's code prints: the mark, the token, a newline.
_MARK: Final = b"\x00\x1e"
_MARKED: Final = re.compile(rb"\x00\x1e(\d{1,19})\n")
#: A longer line is several.
LINE_BYTES_MAX: Final = 8 * 1024
#: Read from one child at a time, and before the outcome of its task is taken.
_READ_BYTES: Final = 64 * 1024
_DRAIN_READS: Final = 8


class PrintedLines:
    """Parts what one child prints into lines, each with the token of the task that printed it."""

    def __init__(self) -> None:
        self._rest = b""
        self._token = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, str]]:
        """The lines that are whole now."""
        *parts, rest = (self._rest + data).split(b"\n")
        for part in parts:
            yield from self._line(part)
        while len(rest) > 2 * LINE_BYTES_MAX:  # a mark would have its newline by then
            yield from self._told(rest[:LINE_BYTES_MAX])
            rest = rest[LINE_BYTES_MAX:]
        self._rest = rest

    def end(self) -> Iterator[tuple[int, str]]:
        """What was printed without a newline behind it, once nothing more comes of this task."""
        rest, self._rest = self._rest, b""
        yield from self._line(rest)

    def _line(self, line: bytes) -> Iterator[tuple[int, str]]:
        while (found := _MARKED.search(line + b"\n")) is not None:
            yield from self._told(line[: found.start()])
            self._token = int(found[1])
            line = line[found.end() :]
        yield from self._told(line)

    def _told(self, line: bytes) -> Iterator[tuple[int, str]]:
        line = line.rstrip(b"\r")
        while line:
            yield self._token, line[:LINE_BYTES_MAX].decode("utf-8", "replace")
            line = line[LINE_BYTES_MAX:]


class OutputPipes:
    """A pipe for each child. Make it before forking."""

    def __init__(self, slots: int) -> None:
        """Raises OSError if there are not enough files."""
        self._pipes: list[tuple[int, int]] = []
        try:
            for _ in range(slots):
                self._pipes.append(os.pipe())
                os.set_blocking(self._pipes[-1][0], False)
        except OSError:
            for ends in self._pipes:
                for end in ends:
                    os.close(end)
            raise
        #: Readable when a child has printed something, by slot.
        self.readers = [reader for reader, _ in self._pipes]
        self._lines = [PrintedLines() for _ in self._pipes]

    # ---- in the worker ---------------------------------------------------------------------------

    def keep_readers(self) -> None:
        """This process is the worker."""
        for _, writer in self._pipes:
            os.close(writer)

    def read(self, slot: int) -> list[tuple[int, str]]:
        """The next lines of a child, with the tokens of their tasks."""
        with suppress(BlockingIOError):
            return list(self._lines[slot].feed(os.read(self.readers[slot], _READ_BYTES)))
        return []

    def rest(self, slot: int) -> list[tuple[int, str]]:
        """All that a child has printed whose task is over: it has flushed it."""
        found: list[tuple[int, str]] = []
        with suppress(BlockingIOError):
            for _ in range(_DRAIN_READS):
                found += self._lines[slot].feed(os.read(self.readers[slot], _READ_BYTES))
        found += self._lines[slot].end()
        return found

    def close(self) -> None:
        """Read nothing any more."""
        for reader in self.readers:
            os.close(reader)

    # ---- in the fork server, and in a child ------------------------------------------------------

    def keep_writers(self) -> None:
        """This process is the fork server, from which children get theirs."""
        for reader in self.readers:
            os.close(reader)

    def redirect(self, slot: int) -> None:
        """This process is the child of this slot: what it prints goes into its pipe."""
        flush()
        logs.write_to(os.dup(2))
        for number in (1, 2):
            os.dup2(self._pipes[slot][1], number)
        for _, writer in self._pipes:
            os.close(writer)


def begin(token: int) -> None:
    """What is printed from here on is this task's."""
    flush()
    with suppress(OSError):  # the task before closed it
        os.write(1, _MARK + b"%d\n" % token)
