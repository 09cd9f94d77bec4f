"""Looks host names up in threads of their own: a name server may be silent for seconds.

A thread lives for one question, and each name has at most one: one that hangs delays no other.
"""

import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from raftwork import native_threads
from raftwork.net.dialling import Answer

#: A host's addresses as numbers. Raises OSError with the reason if it has none.
LookUp = Callable[[str], tuple[str, ...]]


def look_up(host: str) -> tuple[str, ...]:
    """A host's addresses as numbers, IPv4 first. Raises OSError."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError("not a valid host name") from None
    ordered = sorted(found, key=lambda each: each[0] != socket.AF_INET)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in ordered))


def reason(error: Exception) -> str:
    """The error's text without its number."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class ThreadResolver:
    """Implements `Resolver`. Belongs to one thread; `fileno` is readable when there are answers."""

    def __init__(self, look_up: LookUp = look_up) -> None:
        """Raises OSError if this process has too many files open."""
        self._look_up = look_up
        self._asked: set[str] = set()
        self._answers: deque[Answer] = deque()
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        # Held while the pipe is written to, lest that be another's file by then; and a byte in it
        # without an answer would wake its reader for ever.
        self._lock = threading.Lock()
        self._closed = False

    def fileno(self) -> int:
        """A descriptor that is readable while there are answers."""
        return self._read_fd

    def ask(self, host: str) -> None:
        """Begin to look `host` up, unless that is under way."""
        if host in self._asked:
            return
        self._asked.add(host)
        try:
            native_threads.start(partial(self._find, host))
        except RuntimeError as error:  # too many threads
            self._answers.append(Answer(host, (), str(error)))

    def answers(self) -> list[Answer]:
        """The answers that came since the last call."""
        if not self._answers:
            return []
        with self._lock:
            with suppress(BlockingIOError):
                os.read(self._read_fd, 4096)
            came = list(self._answers)
            self._answers.clear()
        self._asked.difference_update(answer.host for answer in came)
        return came

    def close(self) -> None:
        """Drop the lookups that are still under way."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._read_fd)
                os.close(self._write_fd)

    def _find(self, host: str) -> None:
        try:
            answer = Answer(host, self._look_up(host))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is why there is no answer
            answer = Answer(host, (), reason(error))
        with self._lock:
            self._answers.append(answer)
            if not self._closed:
                with suppress(BlockingIOError):
                    os.write(self._write_fd, b"\0")
