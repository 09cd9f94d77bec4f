"""What answers HTTP for a worker."""

import asyncio
import socket

import httpx
from prometheus_client.parser import text_string_to_metric_families

from raftwork.web.health import ALIVE_MS
from raftwork.web.watch import now_ms
from raftwork.web.worker_health import WorkerHealth
from raftwork.web.worker_metrics import described
from raftwork.web.worker_server import application, listen
from raftwork.worker.own_facts import RUN_BOUNDS_MS, RunTimes, WorkerFacts, worker_facts
from raftwork.worker.pool.channel import pair, send
from tests.unit.web.test_metrics import ROOT

NAME = 'odd "<b>\\name'
RUNS = [RunTimes(NAME, [2, 1, *[0] * (len(RUN_BOUNDS_MS) - 1)], 13_000_000)]
FACTS = WorkerFacts(
    "w1", 1, 4, 2, 3, "127.0.0.1:7701", False, 99, RUNS, [("SIGSEGV", 2)], [("memory", 5)]
)


def health(facts: WorkerFacts | None = FACTS, silent: int = 0) -> WorkerHealth:
    made = WorkerHealth(now_ms() - silent)
    if facts is not None:
        made.told(facts, now_ms() - silent)
    return made


def ask(made: WorkerHealth, path: str) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(application(made))
        async with httpx.AsyncClient(transport=transport, base_url="http://w") as client:
            return await client.get(path)

    return asyncio.run(asked())


def test_one_with_a_leader_and_slots_is_ready() -> None:
    assert ask(health(), "/readyz").status_code == 200
    assert ask(health(), "/livez").status_code == 200


def test_each_thing_that_it_lacks_is_named() -> None:
    lacks = FACTS._replace(leader="", slots=0, draining=True)
    answer = ask(health(lacks), "/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {
        "loop": "ok",
        "leader": "it has no session with an active leader",
        "slots": "it has no slot that could run a task",
        "draining": "it takes nothing new any more",
    }
    assert ask(health(lacks), "/readyz?exclude=leader&exclude=slots&exclude=draining").json()["ok"]
    assert ask(health(lacks), "/livez").status_code == 200


def test_one_that_has_said_nothing_yet_is_alive_and_not_ready() -> None:
    assert ask(health(None), "/livez").status_code == 200
    assert ask(health(None), "/readyz/leader").status_code == 503
    assert ask(health(None), "/metrics").status_code == 200


def test_one_whose_loop_stands_still_is_dead() -> None:
    assert ask(health(silent=ALIVE_MS + 1_000), "/livez").status_code == 503
    assert ask(health(silent=ALIVE_MS + 1_000), "/readyz").status_code == 503


def test_the_reference_parser_reads_the_page_and_it_has_every_metric() -> None:
    page = ask(health(), "/metrics").text
    found: dict[tuple[str, ...], float] = {
        (
            sample.name.removeprefix("raftwork_worker_"),
            *sorted(sample.labels.values()),
        ): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    expected: dict[tuple[str, ...], float] = {
        ("slots", "w1"): 4,
        ("busy", "w1"): 2,
        ("held", "w1"): 3,
        ("connected", "w1"): 1,
        ("outcome_bytes", "w1"): 99,
        ("processes_lost_total", "SIGSEGV", "w1"): 2,
        ("recycled_total", "memory", "w1"): 5,
        ("run_seconds_bucket", "0.005", NAME, "w1"): 2,
        ("run_seconds_bucket", "+Inf", NAME, "w1"): 3,
        ("run_seconds_sum", NAME, "w1"): 0.013,
    }
    assert {key: found[key] for key in expected} == expected
    assert not [each.name for each in described() if f"# TYPE {each.name} " not in page]
    assert "process_start_time_seconds" in page  # of process 1, as that is the worker here
    docs = (ROOT / "docs/metrics.md").read_text()
    assert not [each.name for each in described() if f"`{each.name}`" not in docs]


def test_it_knows_what_the_worker_said_last_and_when_it_is_gone() -> None:
    here, there = pair()
    made = WorkerHealth(now_ms())
    for slots in (4, 3):
        send(here, worker_facts.encode(FACTS._replace(slots=slots)))
    here.shutdown(socket.SHUT_WR)
    listen(there, made)
    assert made.facts is not None
    assert made.facts.slots == 3
    here.close()
    there.close()
