"""Standard streams as they are found: missing, closed, or replaced by what a user thinks is one."""

import os
import sys
from contextlib import suppress


def flush() -> None:
    """Flush standard output and error, whatever they are. A user's object may raise anything."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):
            stream.flush()


def complain(text: str) -> None:
    """Write to standard error of the process, not to what stands for it in Python."""
    flush()
    with suppress(OSError):
        os.write(2, text.encode("utf-8", "backslashreplace"))
