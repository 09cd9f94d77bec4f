"""Answers are packed (gzip) where the visitor takes that, and large ones in a thread.

In the loop, an answer of a mebibyte would hold up whoever else is answered for 30 ms: health, too.
What several are answered alike (api/shared.py), and the page's own files, is packed once.
"""

from __future__ import annotations

import gzip
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Shorter answers go as they are.
PACKED_BYTES_MIN: Final = 1_000
#: Shorter ones are packed at once: it takes less than a millisecond.
THREAD_BYTES_MIN: Final = 32 * 1024
#: Answers that are kept packed, of so many bytes together, as they came: the oldest go.
KEPT_MAX: Final = 256
KEPT_BYTES_MAX: Final = 16 * 1024 * 1024
#: Not of those in which people wait for a leader.
_THREADS: Final = 2
_LEVEL: Final = 5


class Packed:
    """Packs what is answered in one piece. Events go as they are: each is to arrive at once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._threads: anyio.CapacityLimiter | None = None  # it belongs to a loop
        #: By what was packed: to find it costs nothing where it is the same object.
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._kept_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] == "http":
            takes = "gzip" in Headers(scope=scope).get("accept-encoding", "")
            send = _Answer(send, self._pack if takes else None).send
        await self._app(scope, receive, send)

    async def _pack(self, body: bytes) -> bytes:
        packed = self._kept.get(body)
        if packed is None:
            packed = await self._packed(body)
            self._keep(body, packed)
        return packed

    def _keep(self, body: bytes, packed: bytes) -> None:
        if body not in self._kept:  # two may have packed it at a time
            self._kept[body] = packed
            self._kept_bytes += len(body)
        while self._kept_bytes > KEPT_BYTES_MAX or len(self._kept) > KEPT_MAX:
            self._kept_bytes -= len(self._kept.popitem(last=False)[0])

    async def _packed(self, body: bytes) -> bytes:
        if len(body) < THREAD_BYTES_MIN:
            return _packed(body)
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(_THREADS)
        return await anyio.to_thread.run_sync(partial(_packed, body), limiter=self._threads)


class _Answer:
    """One answer on its way: its head waits until it is known what follows."""

    def __init__(self, send: Send, pack: Callable[[bytes], Awaitable[bytes]] | None) -> None:
        self._send, self._pack = send, pack
        self._head: Message | None = None

    async def send(self, message: Message) -> None:
        """A part of it."""
        if message["type"] == "http.response.start":
            self._head = message
            return
        head, self._head = self._head, None
        if head is not None:
            headers = MutableHeaders(raw=head.setdefault("headers", []))
            headers.add_vary_header("Accept-Encoding")
            body: bytes = message.get("body", b"")
            whole = len(body) >= PACKED_BYTES_MIN and not message.get("more_body", False)
            if whole and self._pack is not None and "content-encoding" not in headers:
                packed = await self._pack(body)
                headers["Content-Encoding"] = "gzip"
                headers["Content-Length"] = str(len(packed))
                message = {**message, "body": packed}
            await self._send(head)
        await self._send(message)


def _packed(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)
