"""Threads of the operating system, whatever was put in the place of Python's."""

import _thread
import sys
from collections.abc import Callable


def start(code: Callable[[], None]) -> None:
    """Run `code` in a daemon thread. Raises RuntimeError where none can be started.

    Not by `threading.Thread`, whose start shares locks with the program's own: a signal handler may
    have interrupted it while it holds one. And not as a greenlet of gevent's: that would hold up
    all others while it waits for its sockets.
    """
    gevent = sys.modules.get("gevent.monkey")
    begin = _thread.start_new_thread
    if gevent is not None:
        begin = gevent.get_original("_thread", "start_new_thread")
    begin(code, ())
