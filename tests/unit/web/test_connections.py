"""A connection that asks nothing gives its place back: strangers could take all of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from uvicorn.server import ServerState

from raftwork.web import connections
from raftwork.web.connections import Connection

#: Of the servers, the newest last.
_STATES: list[ServerState] = []

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _endless(_request: Request) -> StreamingResponse:
    async def told() -> AsyncIterator[bytes]:
        while True:
            yield bytes(64 * 1024)
            await asyncio.sleep(0)  # one that is gone takes all at once

    return StreamingResponse(told())


async def _slow(_request: Request) -> PlainTextResponse:
    await asyncio.sleep(0.3)
    return PlainTextResponse("well")


@asynccontextmanager
async def _connected() -> AsyncIterator[Streams]:
    app = Starlette(routes=[Route("/", _slow), Route("/endless", _endless)])
    config = uvicorn.Config(app, http=Connection, lifespan="off", log_config=None)
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()
    _STATES.append(state)
    server = await loop.create_server(
        lambda: Connection(config, state, app_state={}), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0.01)


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET / HT", GET + b"G"])
def test_one_that_does_not_ask_is_closed(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.1)

    async def told() -> bytes:
        async with _connected() as (reader, writer):
            writer.write(sent)
            return await asyncio.wait_for(reader.read(), 4)

    answer = asyncio.run(told())
    assert answer.endswith(b"well") if sent.startswith(GET) else answer == b""


def test_one_that_waits_for_its_answer_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.1)

    async def told() -> list[bytes]:
        async with _connected() as (reader, writer):
            found = []
            for _ in range(2):
                writer.write(GET)
                found.append(await asyncio.wait_for(reader.readuntil(b"well"), 4))
            return found

    assert all(each.startswith(b"HTTP/1.1 200") for each in asyncio.run(told()))


def test_one_that_does_not_read_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is put by for it without bound, and its place is free again."""
    monkeypatch.setattr(connections, "READ_S", 0.1)

    async def told() -> bool:
        async with _connected() as (reader, writer):
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(GET.replace(b"/", b"/endless", 1))
            state = _STATES[-1]
            async with asyncio.timeout(4):
                await _until(lambda: bool(state.tasks))
                await _until(lambda: not state.tasks and not state.connections)
        return True

    assert asyncio.run(told())
