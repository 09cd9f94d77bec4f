"""Work done for one peer, client or worker fails alone: which errors end a broker, and which stop.

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

- an incoming frame (`Node.receive`, `Node.receive_peer`): the session is closed with all that
  belongs to it, and what comes from there is not read for a while;
- a client's request on its way (`RequestProcessor`): to say what to propose for it, to read for it;
  it is refused, with the error in the text;
- an outgoing frame (`OutgoingFrames`), and a hello to one peer (`Handshake`): the frame is lost, as
  any frame may be; an answer that cannot be said becomes a refusal;
- dialling one peer (`Handshake`), and telling people what happened (`Node.tell`);
- the state of the active leader (`leader/supervisor.py`): dropped and made anew from the machine's
  tables;
- noting the events of an entry (`broker/event_ring.py`): those so far are dropped, a gap is told;
- work off the loop (`broker/store/background.py`): a snapshot that failed is made again later.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from raftwork.broker.store.storage_errors import as_database_error
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
        """Where errors of some work stop; `failed()` drops what they leave half done."""
        return Boundary(self, what, failed)

    def ends(self, error: BaseException) -> bool:
        """Whether this error ends the replica."""
        ours = isinstance(error, Exception)
        return not ours or error is self.vital.broken or as_database_error(error) is not None

    def report(self, what: str, error: Exception) -> None:
        """Report an error that a boundary has stopped."""
        self._report(what, error)


class Vital:
    """Marks consensus and the replicated machine: no boundary stops what is raised in it.

    A context; or, where it would cost more than the work, `mark` in an `except` that raises again.
    """

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
        if error is not None:
            self.mark(error)

    def mark(self, error: BaseException) -> None:
        """This was raised in it, and goes on."""
        # Those three are answers, and leave the state as it was.
        if not isinstance(error, BadMessage | NotLeader | QueueFull):
            self.broken = error


class Boundary:
    """See `Containment.of`. A context; or, as for Vital, `stop` in an `except`."""

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
        self._stop(error)
        return True

    def stop(self, error: Exception) -> None:
        """Stop this error here, or raise it again."""
        if self._containment.ends(error):
            raise error
        self._stop(error)

    def _stop(self, error: BaseException) -> None:
        assert isinstance(error, Exception)
        self._containment.report(self._what, error)
        self._failed()
