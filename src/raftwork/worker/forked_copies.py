"""Copies of a process that runs tasks: what a task forks by hand (`os.fork`) ends by itself.

A copy has the whole stack of its original below it, and would return into the code that runs tasks:
answer on its channel, take the next task, be a second worker. So where a task's code is called, a
copy of the process ends as a script would: with its own status, its output flushed.
"""

import os
import threading
import traceback
from contextlib import suppress
from types import TracebackType
from typing import NoReturn

from raftwork.standard_streams import complain, flush

#: How many forks lie between the first process and this one. Asked around every task: the number of
#: the process itself would be a call into the system.
_forks = 0


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


def forks() -> int:
    """How many forks lie between the first process and this one."""
    return _forks


class ends_copies:  # noqa: N801 - reads as `with ends_copies():`
    """Around a task's code: a process that leaves the block without having entered it ends.

    A return ends it with status 0, `sys.exit(n)` as it says, any other exception with a traceback
    on standard error and status 1. In the process that entered it does nothing.
    """

    __slots__ = ("_home",)

    def __enter__(self) -> None:
        self._home = _forks

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._home != _forks:
            end_copy(error)


def end_copy(error: BaseException | None) -> NoReturn:
    """End this process, a copy of one that runs tasks, with what its code ended with.

    No exit handler runs: they are the original's, and so are the files and children they close.
    """
    status = 1
    try:
        status = _status(error)
        for thread in threading.enumerate():  # only the copy's own are here
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
    except BaseException:  # noqa: BLE001 - nothing may return into the original's stack
        with suppress(BaseException):
            complain("a forked copy of a task's process did not end well\n")
    finally:
        flush()
        os._exit(status)


def _status(error: BaseException | None) -> int:
    """The copy's exit status. Prints what Python would."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        code = error.code
        if code is None:
            return 0
        if isinstance(code, int):
            return code & 0xFF
        complain(f"{code}\n")
        return 1
    complain("".join(traceback.format_exception(error)))
    return 1
