"""Ctrl-C while the `raftwork` command is still imported: that takes a third of a second, or a few.

Nothing has begun, and nobody is helped by where in some library it was. So until `begun` it ends
the process as it ends other programs, without Python's traceback. In a program that imports the
package nothing changes.
"""

import os
import signal
import sys
from contextlib import suppress


def is_command() -> bool:
    """Whether this process is the command, not a program that imports the package."""
    name = sys.argv[0] if getattr(sys, "argv", None) else ""
    if name == "-m":  # as long as the module is looked for
        return "raftwork" in sys.orig_argv
    return os.path.basename(name) == "raftwork"


def _end_silently() -> None:
    """Have SIGINT end the process, where it would raise KeyboardInterrupt."""
    if is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def begun() -> None:
    """Have it raise KeyboardInterrupt again."""
    if is_command() and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        with suppress(ValueError):
            signal.signal(signal.SIGINT, signal.default_int_handler)


_end_silently()
