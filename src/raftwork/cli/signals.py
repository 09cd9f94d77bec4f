"""Signals to commands: to those that do not serve yet, and to those that clean up first."""

import os
import signal
from typing import NoReturn


def leave_when_told() -> None:
    """SIGTERM and SIGINT end the process with status 0, until something takes them over.

    Nothing has begun, so there is nothing to hand over or to finish. It leaves as from a kill,
    which every file of ours survives: an exception could end up anywhere, such as in the import of
    a user's module.
    """
    # A program may be started with signals ignored or blocked. With SIGCHLD ignored, nothing could
    # wait for a child of its own.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))


def put_off_hangup() -> None:
    """SIGHUP waits until something takes it over, and unblocks it: it would end the process.

    It says that a file has changed, which may have been read already.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


class Told(SystemExit):
    """SIGTERM told the command to end."""


def end_by_exception() -> None:
    """SIGTERM raises Told, as SIGINT raises KeyboardInterrupt, so that cleaning up is done."""
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, _frame: object) -> NoReturn:
    raise Told(128 + number)
