"""The threads that own clients' sockets: how they start, which run, and how they end with Python.

A public call can be interrupted between any two bytecodes: by a signal handler, or by the garbage
collector, which runs finalizers in any thread. The interrupting code may call the client again and
wait for an answer. So a call and the client's thread never share a lock: neither one of ours nor
one inside `threading.Thread`, which waits on a Condition when it starts.
"""

import _thread
import atexit
import os
import sys
import threading
from collections.abc import Callable
from typing import Protocol

from raftwork import native_threads
from raftwork.errors import Unavailable


class Ending(Protocol):
    """A connection with a running thread."""

    def abandon(self) -> None:
        """End it without answering the calls that are out."""
        ...


#: The thread of each running connection.
running: dict[int, Ending] = {}
#: Connections of a parent process, kept so that nothing ever closes their sockets here.
_inherited: list[Ending] = []


def start(code: Callable[[], None]) -> None:
    """Run `code` in a daemon thread of its own.

    Raises Unavailable if there are too many, and RuntimeError at the interpreter's end.
    """
    _refuse_eventlet()
    try:
        native_threads.start(code)
    except RuntimeError as error:
        if "shutdown" not in str(error):
            raise Unavailable(f"cannot start a thread: {error}") from None
        raise RuntimeError(
            "the interpreter is shutting down and starts no threads any more, so this App cannot "
            "connect: make its first call (app.connect() will do) before the main thread ends"
        ) from None


def is_main() -> bool:
    """Whether this is the program's main thread."""
    return _thread.get_ident() == threading.main_thread().ident


def refuse_if_ours() -> None:
    """Raise RuntimeError in a client's thread: there a call would wait for itself."""
    if _thread.get_ident() in running:
        raise RuntimeError(
            "this is a client's own thread, where no call can wait for an answer: a finalizer "
            "(__del__) that the garbage collector runs must not call an App"
        )


def _refuse_eventlet() -> None:
    """Its locks cannot be released by a thread; gevent's can, and let other greenlets run."""
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        raise RuntimeError(
            "eventlet has replaced threads, and its locks cannot be released by real ones: use "
            "eventlet.monkey_patch(thread=False), or gevent"
        )


@atexit.register
def _abandon_all() -> None:
    """End all threads before the interpreter goes.

    Registered when the package is imported, so that what a program registers later still finds its
    Apps connected.
    """
    for connection in list(running.values()):
        connection.abandon()


def _after_fork() -> None:
    _inherited.extend(running.values())
    running.clear()


os.register_at_fork(after_in_child=_after_fork)
