"""The answers over HTTP, and the child that gives them."""

import asyncio
import json
import subprocess
import sys

import anyio.to_thread
import httpx
import pytest

from raftwork.web import server
from raftwork.web.application import application, respond
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
