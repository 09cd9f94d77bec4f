"""Commands that wait say what for: a user at a terminal should not have to guess."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from raftwork.cli.output import err

#: Seconds a command may take without a word.
QUIET_S = 2.0
#: Seconds within which the brokers have answered, or will not; for those the command's end waits.
_ASKING_S = 2.0


@contextmanager
def explained(brokers: str | None, queue: str | None = None) -> Iterator[None]:
    """Say on stderr, once, what holds up the code within if that takes longer than `QUIET_S`.

    That there is no leader; or that no worker serves `queue`, if one is given.
    """
    ended = threading.Event()

    def explain() -> None:
        if ended.wait(QUIET_S):
            return
        text = _reason(brokers, queue)
        if text and not ended.is_set():
            err(f"still waiting: {text}")

    # A daemon: what cannot be asked must not keep the command.
    thread = threading.Thread(target=explain, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_ASKING_S)


def _reason(brokers: str | None, queue: str | None) -> str:
    from raftwork.client.overview import observe
    from raftwork.errors import RaftworkError

    try:
        seen = observe(brokers)
    except RaftworkError as error:
        return str(error)
    if seen.leader is None:
        return seen.headless()
    if queue is not None and not seen.serves(queue):
        return f"no worker serves the queue {queue}"
    return ""
