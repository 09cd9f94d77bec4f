"""Frames of other brokers: each is read by itself, and one that cannot be handled ends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.broker.events import BadFrame
from raftwork.errors import BadMessage
from raftwork.features import from_broker
from raftwork.messages import PeerMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.cluster.handshake import Handshake
    from raftwork.broker.containment import Containment
    from raftwork.broker.events import Event
    from raftwork.net.backoff import Pauses


class PeerFrames:
    """Of one broker. `stir` has its chores looked at, as a frame was none of consensus."""

    def __init__(
        self,
        handshake: Handshake,
        containment: Containment,
        pauses: Pauses[bytes | str],
        tell: Callable[[Event], None],
        stir: Callable[[int], None],
    ) -> None:
        self._handshake, self._pauses = handshake, pauses
        self._tell, self._stir = tell, stir
        self._arriving: tuple[str, int]
        self._arrivals = containment.of("a frame of another broker", self._fails)

    def receive(self, name: str, frame: bytes | memoryview, now: int) -> None:
        """Take a frame from our DEALER to the named broker."""
        if self._pauses.any and self._pauses.lasts(name, now):
            return
        self._arriving = name, now
        try:
            message = from_broker.decode(frame)
            if type(message) is not PeerMessage:
                self._stir(now)
            self._handshake.heard(name, message, now)
        except BadMessage as error:
            self._tell(BadFrame(name, str(error)))
        except Exception as error:  # noqa: BLE001 - whatever it is, this frame brought it about
            self._arrivals.stop(error)

    def _fails(self) -> None:
        """As if its link were new: the peer has to identify itself again."""
        name, now = self._arriving
        self._stir(now)
        self._pauses.failed(name, now)
        self._handshake.forget(name, now)
