"""A process beside this one: started, started again after pauses that grow, ended with it.

Nothing that it does, nor its end, is more to this process than a line in the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.net.backoff import Pauses

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

#: Before it is started again: the first time, and at most, ms.
AGAIN_MS: Final = 1_000
AGAIN_MAX_MS: Final = 60_000


class TendedChild:
    """`tend` looks after it now and then; times are monotonic ms."""

    def __init__(
        self, start: Callable[[], subprocess.Popen[bytes]], failed: Callable[[str], None]
    ) -> None:
        """`start()` may raise OSError; `failed(why)` is told each time that it does not run."""
        self._start, self._failed = start, failed
        self._pauses = Pauses[str](AGAIN_MS, AGAIN_MAX_MS)
        self._child: subprocess.Popen[bytes] | None = None

    def tend(self, now: int) -> None:
        """Start it, unless it runs, or has to wait. Never raises."""
        child = self._child
        if child is not None:
            if child.poll() is None:
                return
            self._child = None
            self._ended(f"it ended with status {child.returncode}", now)
        if self._pauses.lasts("child", now):
            return
        try:
            self._child = self._start()
        except OSError as error:
            self._ended(f"it cannot be started: {error.strerror or error}", now)

    def _ended(self, why: str, now: int) -> None:
        self._pauses.failed("child", now)
        self._failed(why)

    def close(self) -> None:
        """End it, as this process's end does in any case."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
