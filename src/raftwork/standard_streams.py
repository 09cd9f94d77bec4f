"""Standard streams as they are found: missing, closed, or replaced by a user's object."""

import io
import os
import sys
from contextlib import suppress


def fill() -> None:
    """Have descriptors 0, 1 and 2 open, and Python's streams on them.

    If a program starts with one closed (`>&-`), the next file or socket it opens gets that number,
    and everything that is printed goes there: into a replica's database, or to a broker. Those that
    are missing become the null device.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        if _gone(getattr(sys, name, None)):
            mode = "w" if number else "r"
            # Not closed with the object: the number would be free again.
            stream = open(number, mode, errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def by_line() -> None:
    """Have standard output leave line by line, as on a terminal.

    Into a file or a pipe it would leave when 8 KiB are full: of what tasks print nothing would be
    seen for hours, and never what was printed by a process that is killed.
    """
    with suppress(BaseException):  # a user's object, or none of text
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def flush() -> None:
    """Flush standard output and error, whatever they are. A user's object may raise anything."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):
            stream.flush()


def let_go() -> None:
    """At the end: for a stream that cannot be flushed Python would exit with status 120."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except BaseException:  # noqa: BLE001 - as above
            setattr(sys, name, None)


def complain(text: str) -> None:
    """Write to standard error of the process, not to what stands for it in Python."""
    flush()
    with suppress(OSError):
        os.write(2, text.encode("utf-8", "backslashreplace"))


def _gone(stream: object) -> bool:
    try:
        return stream is None or getattr(stream, "closed", False) is True
    except BaseException:  # noqa: BLE001 - a user's object; it is there
        return False


def escape_what_cannot_be_written() -> None:
    """Have stdout and stderr write `\\u2026` where their encoding has no such character.

    A terminal of ISO 8859 is none's fault: it was a traceback, of `--help` too.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
