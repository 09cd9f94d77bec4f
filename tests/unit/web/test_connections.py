"""A connection that asks nothing gives its place back: strangers could take all of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from uvicorn.server import ServerState

from raftwork.web import connections
from raftwork.web.connections import Connection

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _slow(_request: Request) -> PlainTextResponse:
    await asyncio.sleep(0.3)
    return PlainTextResponse("well")


@asynccontextmanager
async def _connected() -> AsyncIterator[Streams]:
    app = Starlette(routes=[Route("/", _slow)])
    config = uvicorn.Config(app, http=Connection, lifespan="off", log_config=None)
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(config, state, app_state={}), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()


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
