"""Whether a process has ended."""

import time
from contextlib import suppress

import psutil


def assert_gone(pid: int) -> None:
    """It ends within half a minute; one that nobody has reaped has ended, too."""
    deadline = time.monotonic() + 30
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "it lives on"
            time.sleep(0.02)
