"""Answers are packed for who takes that, and large ones hold up nobody."""

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from raftwork.web import packing
from raftwork.web.packing import PACKED_BYTES_MIN, THREAD_BYTES_MIN, Packed

SMALL, LARGE = b"x" * (PACKED_BYTES_MIN - 1), b"y" * THREAD_BYTES_MIN


async def _sized(request: Request) -> Response:
    return Response(SMALL if request.path_params["size"] == "small" else LARGE)


async def _events(_request: Request) -> Response:
    async def each() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n" * 500

    return StreamingResponse(each(), media_type="text/event-stream")


def served() -> httpx.AsyncClient:
    routes = [Route("/events", _events), Route("/{size}", _sized)]
    app = Starlette(routes=routes, middleware=[Middleware(Packed)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a")


def get(path: str, accept: str = "gzip") -> tuple[httpx.Response, bytes]:
    """The answer, and its bytes as they came."""

    async def ask() -> tuple[httpx.Response, bytes]:
        async with (
            served() as client,
            client.stream("GET", path, headers={"Accept-Encoding": accept}) as answer,
        ):
            return answer, b"".join([part async for part in answer.aiter_raw()])

    return asyncio.run(ask())


def test_a_large_answer_is_packed_and_says_so() -> None:
    answer, body = get("/large")
    assert gzip.decompress(body) == LARGE
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-length"] == str(len(body))
    assert answer.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("path", "accept", "body"), [("/small", "gzip", SMALL), ("/large", "br", LARGE)]
)
def test_a_small_one_and_one_for_who_does_not_take_it_go_as_they_are(
    path: str, accept: str, body: bytes
) -> None:
    answer, came = get(path, accept)
    assert came == body
    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"] == "Accept-Encoding"


def test_events_go_as_they_are() -> None:
    answer, came = get("/events")
    assert came.count(b"data") == 1_500
    assert "content-encoding" not in answer.headers


def test_while_a_large_answer_is_packed_others_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the loop it held up whoever else was there, and health."""
    go_on, packed = threading.Event(), packing._packed

    def slow(body: bytes) -> bytes:
        assert go_on.wait(10)
        return packed(body)

    monkeypatch.setattr(packing, "_packed", slow)

    async def ask() -> tuple[bytes, bytes]:
        async with served() as client:
            large = asyncio.create_task(client.get("/large"))
            await asyncio.sleep(0)
            small = await asyncio.wait_for(client.get("/small"), 5)
            go_on.set()
            return small.content, (await large).content

    assert asyncio.run(ask()) == (SMALL, LARGE)


def test_what_is_answered_alike_is_packed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[bytes] = []

    def pack(body: bytes) -> bytes:
        packed.append(body)
        return gzip.compress(body)

    monkeypatch.setattr(packing, "_packed", pack)

    async def ask() -> list[bytes]:
        async with served() as client:
            return [(await client.get("/large")).content for _ in range(10)]

    assert asyncio.run(ask()) == [LARGE] * 10
    assert packed == [LARGE]


def test_of_what_was_packed_only_so_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Packed(Starlette())
    monkeypatch.setattr(packing, "KEPT_BYTES_MAX", 5 * PACKED_BYTES_MIN)
    monkeypatch.setattr(packing, "KEPT_MAX", 4)

    async def pack(*bodies: bytes) -> None:
        for body in bodies:
            assert gzip.decompress(await made._pack(body)) == body

    asyncio.run(pack(*(b"%d" % n * PACKED_BYTES_MIN for n in range(9))))
    assert [body[:1] for body in made._kept] == [b"5", b"6", b"7", b"8"]
    asyncio.run(pack(b"x" * 2 * PACKED_BYTES_MIN))
    assert [body[:1] for body in made._kept] == [b"6", b"7", b"8", b"x"]
    assert made._kept_bytes == sum(map(len, made._kept))
    asyncio.run(pack(b"y" * 6 * PACKED_BYTES_MIN))
    assert not made._kept and made._kept_bytes == 0
