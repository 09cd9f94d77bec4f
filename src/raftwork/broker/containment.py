"""Work done for somebody else fails by itself: which errors may end a broker, and where they stop.

The rule. A replica ends by exactly these, and its loop is where it does:

1. Its own disk failed, or what it holds contradicts a checksum (StoreError, StoreDamaged, and what
   SQLite raises before a guard of the store has given it that name). An OSError that has not got it
   from the store is a socket's or a thread's, and no more than any other error.
2. Consensus or the replicated machine raised (`Containment.vital`): their state may be half
   changed, and only a restart from the disk makes it whole. Whatever applying an entry raises is
   of this kind.

Everything else is work for one peer, client, worker or helper, or the leader's own state. If it
raises, it is logged, whatever it may have left half changed is dropped whole, and its need is taken
up again after a growing pause. Were it to end the broker, the need would move to the next leader
and end that one, too. There are these boundaries and no others:

- a frame that came in, from anybody (`Node.receive`, `Node.receive_peer`): the session is closed
  with all that belongs to it, and what comes from there is not read for a while;
- a frame that goes out (`Node._flush`), and a hello to one peer (`Neighbours`): the frame is lost,
  as any frame may be;
- dialling one peer (`Neighbours`), and telling people what happened (`Node.tell`);
- the state of the active leader (`leadership_supervisor.py`): dropped and made anew from the
  machine's tables;
- work off the loop (`broker/store/background.py`): a snapshot that failed is made again later.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from raftwork.broker.store.guard import as_database_error
from raftwork.errors import BadMessage, NotLeader, QueueFull
from raftwork.logs import alike

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

log = logging.getLogger("raftwork.broker")

#: Pauses after a failure, at first and at most (ms).
PAUSE_MS = 100
PAUSE_MAX_MS = 10_000


def log_contained(what: str, error: Exception) -> None:
    """The usual `Setup.contained`."""
    kind = type(error).__name__
    # A stranger may have a part in the text: the first traceback of a minute is enough.
    log.error("%s failed: %s: %s", what, kind, error, exc_info=error, extra=alike(f"{what} {kind}"))


class Containment:
    """One broker's boundaries."""

    def __init__(self, report: Callable[[str, Exception], None]) -> None:
        self._report = report
        self.vital = Vital()

    def of(self, what: str, failed: Callable[[], None]) -> Boundary:
        """Around work whose errors stop here; `failed()` drops what they leave half done."""
        return Boundary(self, what, failed)

    def ends(self, error: BaseException) -> bool:
        """Whether this error ends the replica."""
        ours = isinstance(error, Exception)
        return not ours or error is self.vital.broken or as_database_error(error) is not None

    def report(self, what: str, error: Exception) -> None:
        """Report an error that a boundary has stopped."""
        self._report(what, error)


class Vital:
    """Around consensus and the replicated machine: no boundary stops what is raised in here."""

    def __init__(self) -> None:
        #: What was raised last.
        self.broken: BaseException | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Those three are answers, and leave the state as it was.
        if error is not None and not isinstance(error, BadMessage | NotLeader | QueueFull):
            self.broken = error


class Boundary:
    """See `Containment.of`."""

    def __init__(self, containment: Containment, what: str, failed: Callable[[], None]) -> None:
        self._containment = containment
        self._what = what
        self._failed = failed

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if error is None or self._containment.ends(error):
            return False
        assert isinstance(error, Exception)
        self._containment.report(self._what, error)
        self._failed()
        return True
