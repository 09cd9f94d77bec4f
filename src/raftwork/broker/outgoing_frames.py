"""Frames for clients and workers on their way out. What cannot be sent fails by itself."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from raftwork.features import from_broker

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.containment import Containment
    from raftwork.messages import FromBroker


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

    def flush(self) -> None:
        """Send all there is."""
        leaving = self._leaving
        leaving.extend(self.frames)
        self.frames.clear()
        while leaving:
            try:
                while leaving:
                    routing, message = leaving[0]
                    self._send(routing, from_broker.encode(message))
                    leaving.popleft()
            except Exception as error:  # noqa: BLE001 - whatever it is, this frame brought it about
                self._boundary.stop(error)

    def _failed(self) -> None:
        """The first of what is to leave could not be sent."""
        routing, _ = self._leaving.popleft()
        self._unsent(routing)
