"""How long a connection may take to ask: uvicorn waits for ever, and has so many places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

#: From its beginning, or the end of its last answer, to a whole head of a request, s.
REQUEST_S: Final = 10.0


class Connection(H11Protocol):
    """One that has not asked by then is closed.

    Those that hold a place and say nothing would have health answered with 503, and whoever reads
    that takes a broker for dead that is well.
    """

    _overdue: asyncio.TimerHandle | None = None

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

    def connection_lost(self, exc: Exception | None) -> None:
        """It has no more time."""
        self._stop()
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
