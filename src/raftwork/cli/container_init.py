"""A worker that is process 1, as in a container, gets a small parent that does init's work.

Whatever loses its parent in a container becomes a child of process 1, which must reap it or it
stays a zombie. The worker cannot: it would take away the ends that its own tasks wait for. So it
runs as a child of this process, and all other children of this one are orphans.
"""

import os
import signal
from contextlib import suppress

#: Passed on to the worker.
_PASSED = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2),
)


def divide_process_one() -> None:
    """Return in a child if this is process 1, which becomes its init; else at once.

    The child is a session of its own, so that a terminal's Ctrl-C reaches it once, from here.
    """
    if os.getpid() != 1:
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED, signal.SIGCHLD})
    child = os.fork()
    if child:
        os._exit(_serve(child))
    with suppress(OSError):
        os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _serve(child: int) -> int:
    """Until the child ends; the status to exit with."""
    while True:
        number = signal.sigwait({*_PASSED, signal.SIGCHLD})
        if number != signal.SIGCHLD:
            os.kill(child, number)
            continue
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == child:
                    code = os.waitstatus_to_exitcode(ended[1])
                    return code if code >= 0 else 128 - code
