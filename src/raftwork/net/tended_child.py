"""A process beside this one: started, started again after pauses that grow, ended with it.

One whose standard output is a pipe says there, about once a second, that it works. If it says
nothing for long it is stopped or hangs, and is ended to be started again: as it is, nobody is told
that a broker is well, and somebody may take it for dead.

Nothing that it does, nor its end, is more to this process than a line in the log.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from raftwork.net.backoff import Pauses

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

#: Before it is started again: the first time, and at most, ms.
AGAIN_MS: Final = 1_000
AGAIN_MAX_MS: Final = 60_000
#: So long it may say nothing, ms: it yields to all others, and its start alone may take half of it.
SILENT_MS: Final = 60_000


class TendedChild:
    """`tend` looks after it now and then; times are monotonic ms."""

    def __init__(
        self, start: Callable[[], subprocess.Popen[bytes]], failed: Callable[[str], None]
    ) -> None:
        """`start()` may raise OSError; `failed(why)` is told each time that it does not run."""
        self._start, self._failed = start, failed
        self._pauses = Pauses[str](AGAIN_MS, AGAIN_MAX_MS)
        self._child: subprocess.Popen[bytes] | None = None
        #: When it said something last, or was started.
        self._heard_at = 0

    def tend(self, now: int) -> None:
        """Start it, unless it runs, or has to wait. Never raises."""
        child = self._child
        if child is not None:
            silent = self._silent(child, now)
            if silent:
                child.kill()
                child.wait()
            elif child.poll() is None:
                return
            self._let_go()
            why = f"it said nothing for {SILENT_MS // 1_000} s" if silent else ""
            self._ended(why or f"it ended with status {child.returncode}", now)
        if self._pauses.lasts("child", now):
            return
        try:
            self._child = self._start()
            self._heard_at = now
            if self._child.stdout is not None:
                os.set_blocking(self._child.stdout.fileno(), False)
        except OSError as error:
            self._ended(f"it cannot be started: {error.strerror or error}", now)

    def _silent(self, child: subprocess.Popen[bytes], now: int) -> bool:
        """Whether it should have said something by now."""
        if child.stdout is None:
            return False
        while child.stdout.read(4_096):  # None: nothing more has come
            self._heard_at = now
        return now - self._heard_at > SILENT_MS

    def _let_go(self) -> None:
        child, self._child = self._child, None
        if child is not None and child.stdout is not None:
            child.stdout.close()

    def _ended(self, why: str, now: int) -> None:
        self._pauses.failed("child", now)
        self._failed(why)

    def close(self) -> None:
        """End it, as this process's end does in any case."""
        child = self._child
        if child is not None:
            child.kill()
            child.wait()
            self._let_go()
