"""What uvicorn waits for without end, with so many places: who asks, who reads, who has no end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

#: From its beginning, or the end of its last answer, to a whole head of a request, s.
REQUEST_S: Final = 10.0
#: In which it reads something of an answer that is more than its buffers hold, s.
READ_S: Final = 10.0


class Server(uvicorn.Server):
    """Has what has no end told that it ends, before it waits for all answers to be."""

    def __init__(self, config: uvicorn.Config, at_end: Callable[[], None]) -> None:
        super().__init__(config)
        self._at_end = at_end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """The process was told to end."""
        self._at_end()
        await super().shutdown(sockets)


class Connection(H11Protocol):
    """One that has not asked by then is closed, and one that does not read what it asked for.

    Those that hold a place and say nothing would have health answered with 503, and whoever reads
    that takes a broker for dead that is well.
    """

    _overdue: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Its time begins."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """It may have asked."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """It may ask again."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """It does not read."""
        super().pause_writing()
        self._unread = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._reads()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has no more time."""
        self._stop()
        self._reads()
        super().connection_lost(exc)

    def _look(self) -> None:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None until the first request
        if cycle is not None and not cycle.response_complete:
            self._stop()
        elif self._overdue is None and not self.transport.is_closing():
            self._overdue = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _stop(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _reads(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
