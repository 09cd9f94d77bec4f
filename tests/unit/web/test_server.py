"""The answers over HTTP, and the child that gives them."""

import asyncio
import json
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import anyio.to_thread
import httpx
import pytest
from uvicorn import Config

from raftwork.web import connections, server
from raftwork.web.application import application, end_streams
from raftwork.web.checks import respond
from raftwork.web.health import Check
from tests.unit.web.seen import watch

CHECKS = [Check("loop"), Check("leader", "it knows of no leader")]


@pytest.mark.parametrize(
    ("only", "exclude", "code", "checks"),
    [
        (None, (), 503, {"loop": "ok", "leader": "it knows of no leader"}),
        (None, ("leader",), 200, {"loop": "ok"}),
        ("loop", (), 200, {"loop": "ok"}),
        ("leader", (), 503, {"leader": "it knows of no leader"}),
    ],
)
def test_all_is_well_or_each_check_says_why_not(
    only: str | None, exclude: tuple[str, ...], code: int, checks: dict[str, str]
) -> None:
    answer = respond(CHECKS, only=only, exclude=exclude)
    assert answer.status_code == code
    assert json.loads(bytes(answer.body)) == {"ok": code == 200, "checks": checks}


def test_the_child_yields_to_its_broker_before_it_imports_anything() -> None:
    """What it imports as it starts is most of what it takes, and it is started again and again."""
    code = """
import os, runpy, sys, types
done = []
os.nice = lambda by: done.append(f"nice {by}")
stub = types.ModuleType("raftwork.web.server")
stub.__getattr__ = lambda name: (done.append(name), lambda: print(done[0]))[1]
sys.modules["raftwork.web.server"] = stub
runpy.run_module("raftwork.web", run_name="__main__")
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout == "nice 10\n"


def test_a_child_says_every_second_that_it_works_and_waits_for_nobody_to_hear_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served: list[Config] = []

    class Served(SimpleNamespace):
        def __init__(self, config: Config, _at_end: object) -> None:
            served.append(config)
            super().__init__(started=True, run=lambda: None)

    monkeypatch.setattr(connections, "Server", Served)
    blocking: list[tuple[int, bool]] = []
    monkeypatch.setattr("os.set_blocking", lambda *asked: blocking.append(asked))
    server.serve(application(watch()), "127.0.0.1:1")
    server.serve(application(watch()), "127.0.0.1:1", beats=True)
    dashboard, child = served
    assert dashboard.callback_notify is None
    assert (child.timeout_notify, blocking) == (1, [(1, False)])
    said: list[tuple[int, bytes]] = []

    def full(*what: tuple[int, bytes]) -> None:
        said.append(what)  # type: ignore[arg-type]
        raise BlockingIOError

    monkeypatch.setattr("os.write", full)
    assert child.callback_notify is not None
    asyncio.run(child.callback_notify())  # type: ignore[arg-type]
    assert said[0] == (1, b".")


def test_a_check_that_is_none_is_not_well() -> None:
    assert respond(CHECKS, only="leaders").status_code == 404


def test_health_is_answered_while_those_who_look_have_every_thread() -> None:
    """They wait for the leader; a broker is not restarted for that."""

    async def ask() -> int:
        threads = anyio.to_thread.current_default_thread_limiter()
        for number in range(int(threads.total_tokens)):
            threads.acquire_on_behalf_of_nowait(number)
        transport = httpx.ASGITransport(application(watch("a")))
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
            answer = await asyncio.wait_for(client.get("/livez"), 2)
        return answer.status_code

    assert asyncio.run(ask()) == 200


def test_its_key_comes_over_its_standard_input_in_whatever_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = bytes(range(32))
    parts = [secret[:5], secret[5:]]
    monkeypatch.setattr("os.read", lambda _fd, most: parts.pop(0)[:most])
    assert server._handed() == secret


def test_it_ends_if_its_broker_ends_before_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr("os.read", lambda _fd, _most: b"")
    monkeypatch.setattr("os._exit", ended)
    with pytest.raises(SystemExit):
        server._handed()


def test_a_stream_is_not_packed_nor_held_back_and_is_over_when_the_process_is() -> None:
    async def play() -> tuple[bytes, bytes, float]:
        served = application(watch(), None)
        config = Config(served, port=0, lifespan="off", log_config=None, log_level="error")
        config.timeout_graceful_shutdown = 30
        running = connections.Server(config, partial(end_streams, served))
        serving = asyncio.create_task(running.serve())
        while not running.started:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection(*running.servers[0].sockets[0].getsockname())
        writer.write(
            b"GET /api/v1/stream?topics=changed HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Accept-Encoding: gzip\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        first = await reader.readuntil(b"changed")
        began = asyncio.get_running_loop().time()
        running.should_exit = True
        await reader.read()
        await serving
        took = asyncio.get_running_loop().time() - began
        writer.close()
        return head.lower(), first, took

    head, first, took = asyncio.run(asyncio.wait_for(play(), 20))
    assert b"content-type: text/event-stream" in head
    assert b"x-accel-buffering: no" in head and b"cache-control: no-store" in head
    assert b"content-encoding" not in head
    assert b"event: changed" in first
    assert took < 5.0


@pytest.mark.parametrize(("level", "shown"), [("", True), ("WARNING", False), ("odd", True)])
def test_the_process_beside_a_broker_writes_down_who_changed_what(
    monkeypatch: pytest.MonkeyPatch, level: str, shown: bool
) -> None:
    """Its log is the broker's standard error; Python would write warnings alone."""
    monkeypatch.setenv("RAFTWORK_LOG_LEVEL", level)
    begun: list[tuple[str, str]] = []
    monkeypatch.setattr("raftwork.logs.start", lambda *said: begun.append(said))
    server.start_logging()
    assert begun == [("info" if shown else "warning", "text")]
