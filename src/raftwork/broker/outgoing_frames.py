"""Frames for clients and workers on their way out. What cannot be sent fails by itself.

An answer that cannot be said becomes a refusal: its asker would wait for it, and ask again, until
its time is over. What was asked for may have been done all the same. Of outcomes that are pushed
those that can be said are; of another one its state is told, and its data count as dropped: if its
session was closed for it, the client would come back and watch it again, and all of its others.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, cast

from raftwork.errors import PayloadTooLarge
from raftwork.features import from_broker
from raftwork.features.results import Results
from raftwork.messages import FRAME_BYTES_MAX, Code, Refused
from raftwork.messages.registry import replies

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.containment import Containment
    from raftwork.messages import FromBroker, Result

_ANSWERS: Final = frozenset(replies.values())


class OutgoingFrames:
    """What leaves at the next flush, in order."""

    def __init__(
        self,
        containment: Containment,
        send: Callable[[bytes, bytes], None],
        unsent: Callable[[bytes], None],
    ) -> None:
        """`unsent(routing)` is called with each routing id to which a frame could not be sent."""
        #: (routing id, message).
        self.frames: list[tuple[bytes, FromBroker]] = []
        self._leaving: deque[tuple[bytes, FromBroker]] = deque()
        self._send = send
        self._unsent = unsent
        self._boundary = containment.of("a frame that goes out", self._failed)
        self._answer = containment.of("an answer that goes out", lambda: None)

    def flush(self) -> None:
        """Send all there is."""
        leaving = self._leaving
        leaving.extend(self.frames)
        self.frames.clear()
        while leaving:
            try:
                while leaving:
                    routing, message = leaving[0]
                    try:
                        frames = [_encoded(message)]
                    except Exception as error:  # noqa: BLE001 - as below
                        frames = self._instead(message, error)
                    for frame in frames:
                        self._send(routing, frame)
                    leaving.popleft()
            except Exception as error:  # noqa: BLE001 - whatever it is, this frame brought it about
                self._boundary.stop(error)

    def _instead(self, message: FromBroker, error: Exception) -> list[bytes]:
        """What is said in place of what cannot be; raises the error if nothing is."""
        if isinstance(message, Results):
            self._answer.stop(error)
            return [_told(result) for result in message.results]
        if type(message) not in _ANSWERS:
            raise error
        self._answer.stop(error)
        text = (
            f"the broker failed to say its answer ({type(message).__name__}:"
            f" {type(error).__name__}), so what was asked for may have been done; its log says more"
        )
        return [from_broker.encode(Refused(cast("int", message[0]), Code.UNAVAILABLE, text))]

    def _failed(self) -> None:
        """The first of what is to leave could not be sent."""
        routing, _ = self._leaving.popleft()
        self._unsent(routing)


def _told(result: Result) -> bytes:
    """An outcome by itself; without its data if it cannot be said."""
    try:
        return _encoded(Results([result]))
    except Exception:  # noqa: BLE001 - the log has it already
        return _encoded(Results([result._replace(data=b"", forgotten=True)]))


def _encoded(message: FromBroker) -> bytes:
    frame = from_broker.encode(message)
    if len(frame) > FRAME_BYTES_MAX:  # who it is for would close the connection, again and again
        what = f"{type(message).__name__} of {len(frame)} bytes"
        raise PayloadTooLarge(f"{what}: a frame may have {FRAME_BYTES_MAX}")
    return frame
