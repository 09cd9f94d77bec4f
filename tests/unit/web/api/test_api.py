"""The API over a cluster in this process: what it answers, to whom, and what it refuses."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import httpx
import pytest
from starlette.concurrency import run_in_threadpool
from starlette.testclient import TestClient

from raftwork import App
from raftwork.client.audit import entries
from raftwork.errors import ProtocolError
from raftwork.features import audit
from raftwork.testing.virtual_app import VirtualApp, installed
from raftwork.web.access import Role, Rules, Tokens, Visitor, networks, sha256
from raftwork.web.api import dead, serving
from raftwork.web.api.catalogue import ENDPOINTS
from raftwork.web.api.endpoint import BODY_BYTES_MAX
from raftwork.web.application import POLICY, application, end_streams
from tests.unit.web.seen import watch

HOST = "http://127.0.0.1:7780"
OURS = {"X-Raftwork": "1"}
app = App(brokers="127.0.0.1:1")


@app.task(name="sums.add")
def add(x: int, y: int) -> int:
    return x + y


@app.task(name="sums.fail")
def fail(what: str) -> None:
    raise ValueError(f"no such customer: {what}")


@pytest.fixture
def world() -> Iterator[VirtualApp]:
    with installed() as virtual:
        yield virtual


def client(rules: Rules | None = None, base: str = HOST) -> TestClient:
    return TestClient(
        application(watch(), app, rules), base_url=base, raise_server_exceptions=False
    )


@pytest.fixture
def local(world: VirtualApp) -> TestClient:
    return client()


def got(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


# ---- looking ------------------------------------------------------------------------------------


def test_a_task_that_waits_says_why_and_one_that_ended_what_came_of_it(
    world: VirtualApp, local: TestClient
) -> None:
    later = add.options(delay=3600, tags={"customer": "7"}).enqueue(1, 2)
    told = got(local.get("/api/v1/task", params={"id": later.id}))
    assert (told["status"], told["name"], told["tags"]) == (
        "scheduled",
        "sums.add",
        {"customer": "7"},
    )
    assert [reason["why"] for reason in told["waits"]] == ["scheduled", "no worker"]
    assert told["contents"]["args"] == [1, 2]
    world.advance(3601)
    world.run_until_idle()
    ended = got(local.get(f"/api/v1/tasks/{later.id}"))
    assert (ended["status"], ended["contents"]["result"]) == ("succeeded", 3)


def test_tasks_are_searched_newest_first_page_by_page(world: VirtualApp, local: TestClient) -> None:
    ids = [run.id for run in add.options(queue="bulk").enqueue_many([(n, n) for n in range(5)])]
    add.enqueue(9, 9)
    first = got(local.get("/api/v1/tasks", params={"q": "queue:bulk state:queued", "limit": 3}))
    assert [each["id"] for each in first["tasks"]] == ids[:1:-1]
    rest = got(local.get("/api/v1/tasks", params={"q": "queue:bulk", "before": first["before"]}))
    assert [each["id"] for each in rest["tasks"]] == ids[1::-1]
    assert rest["before"] is None
    assert first["scanned"]


def test_a_search_finds_errors_and_names_by_a_part_of_them(
    world: VirtualApp, local: TestClient
) -> None:
    bad = fail.enqueue("zoe")
    add.enqueue(1, 2)
    world.run_until_idle()
    for q in ("fail", "error:CUSTOMER", "state:failed", "name:sums.f*"):
        found = got(local.get("/api/v1/tasks", params={"q": q}))
        assert [each["id"] for each in found["tasks"]] == [bad.id], q


def test_failures_are_grouped_by_kind_and_run_again_once(
    world: VirtualApp, local: TestClient
) -> None:
    ids = [run.id for run in fail.enqueue_many([(f"'c{n}'",) for n in range(3)])]
    world.run_until_idle()
    (group,) = got(local.get("/api/v1/failures"))["groups"]
    assert (group["name"], group["count"]) == ("sums.fail", 3)
    assert group["error"] == "ValueError: no such customer: …"
    assert set(group["ids"]) == set(ids)
    answer = got(local.post("/api/v1/dead/retry", json={"ids": [ids[0], "none"]}, headers=OURS))
    assert list(answer["refused"]) == ["none"]
    again = got(local.post("/api/v1/dead/retry", json={"ids": [ids[0]]}, headers=OURS))
    assert again["retried"] == answer["retried"]
    (group,) = got(local.get("/api/v1/failures"))["groups"]
    assert (group["retried"], len(group["ids"])) == (1, 2)
    shown = got(local.get("/api/v1/task", params={"id": ids[0]}))
    assert shown["dead"]["retried_as"] == answer["retried"][ids[0]]


def test_a_flow_is_its_tasks_and_what_each_needs(world: VirtualApp, local: TestClient) -> None:
    with app.flow("order/../7") as flow:
        first = flow.add(add, 1, 2)
        flow.add(add, first, 3)
    (row,) = got(local.get("/api/v1/flows"))["flows"]
    assert (row["id"], row["status"]) == ("order/../7", "running")
    told = got(local.get("/api/v1/flow", params={"id": "order/../7"}))
    assert [n["needs"] for n in told["nodes"]] == [[], [first.id]]
    world.run_until_idle()
    world.advance(2)
    ended = got(client().get("/api/v1/flow", params={"id": "order/../7"}))
    assert (ended["status"], ended["failed"]) == ("succeeded", 0)


def test_schedules_and_limits_are_told_paused_and_resumed(
    world: VirtualApp, local: TestClient
) -> None:
    app.schedules.create("nightly", add, cron="0 3 * * *", args=(1, 2))
    app.limits.set("stripe", concurrency=3)
    for what, name, listed in (("schedules", "id", "nightly"), ("limits", "limit", "stripe")):
        said = {name: listed}
        got(local.post(f"/api/v1/{what}/pause", json=said, headers=OURS))
        assert got(local.get(f"/api/v1/{what}"))[what][0]["paused"] is True
        got(local.post(f"/api/v1/{what}/resume", json=said, headers=OURS))
        assert got(local.get(f"/api/v1/{what}"))[what][0]["paused"] is False
    assert len(got(local.get("/api/v1/schedule?id=nightly"))["coming"]) == 5
    made = got(local.post("/api/v1/schedules/trigger", json={"id": "nightly"}, headers=OURS))
    world.run_until_idle()
    assert app.run(str(made["id"])).result(0) == 3


def test_a_purge_says_first_what_it_would_drop(world: VirtualApp, local: TestClient) -> None:
    runs = add.enqueue_many([(1, 2), (3, 4)])
    asked = {"queue": "default", "preview": True}
    would = got(local.post("/api/v1/queues/purge", json=asked, headers=OURS))
    assert {each["id"] for each in would["sample"]} == {run.id for run in runs}
    assert runs[0].status() == "queued"
    done = got(local.post("/api/v1/queues/purge", json={"queue": "default"}, headers=OURS))
    assert done == {"purged": 2}


def test_tasks_are_cancelled_by_one_scope(world: VirtualApp, local: TestClient) -> None:
    runs = add.options(delay=60).enqueue_many([(1, 2), (3, 4)])
    ids = {"ids": [run.id for run in runs]}
    assert got(local.post("/api/v1/tasks/cancel", json=ids, headers=OURS)) == {"cancelled": 2}
    for wrong in ({}, ids | {"queue": "default"}):
        answer = local.post("/api/v1/tasks/cancel", json=wrong, headers=OURS)
        assert answer.status_code == 400
        assert "exactly one of" in answer.json()["text"]


def test_brokers_queues_and_workers_are_as_they_say(local: TestClient) -> None:
    told = got(local.get("/api/v1/overview"))
    assert (told["leader"], told["epoch"]) == ("a", 3)
    assert told["since"] == datetime.fromtimestamp(2, UTC).isoformat(timespec="milliseconds")
    assert told["totals"]["queued"] == 5
    alarms = [alarm["text"] for alarm in told["alarms"]]
    assert any("no worker serves the queue odd" in text for text in alarms)
    queue = got(local.get("/api/v1/queues"))["queues"][0]
    assert (queue["name"], queue["slots"], queue["workers"]) == ("default", 4, 1)
    (worker,) = got(local.get("/api/v1/workers"))["workers"]
    assert worker["terms"]["cpu"] == 1.0
    broker = got(local.get("/api/v1/cluster"))["brokers"][0]
    assert broker["facts"]["fsync"] == {"p50": 0.004, "p99": 0.008}
    scale = got(local.get("/api/v1/scale/default"))
    assert (scale["slots_wanted"], scale["slots"]) == (5, 4)
    assert got(local.get("/api/v1/history"))["points"] == []


def test_what_runs_is_told_by_the_leader_and_a_timeline_where_it_keeps_events(
    world: VirtualApp, local: TestClient
) -> None:
    told = got(local.get("/api/v1/running"))
    assert (told["running"], told["held"], told["tasks"]) == (0, 0, [])
    assert local.get("/api/v1/running?limit=0").status_code == 400
    told = got(local.get("/api/v1/timeline"))
    assert (told["now"], told["bars"]) == (None, [])
    assert "keeps no events" in told["why"]


def test_dead_tasks_of_a_filter_are_run_again_or_purged_and_first_said(
    world: VirtualApp, local: TestClient
) -> None:
    ids = [run.id for run in fail.enqueue_many([(f"c{n}",) for n in range(3)])]
    other = fail.options(queue="bulk").enqueue("other")
    world.run_until_idle()
    listed = got(local.get("/api/v1/dead", params={"name": "sums.f*", "error": "CUSTOMER: c1"}))
    assert [each["id"] for each in listed["tasks"]] == [ids[1]]
    assert listed["looked_at"] == 4
    page = got(local.get("/api/v1/dead?limit=1"))
    assert (len(page["tasks"]), page["looked_at"], page["before"] is None) == (1, 1, False)
    some = {"filter": True, "queue": "default"}
    would = got(local.post("/api/v1/dead/retry", json=some | {"preview": True}, headers=OURS))
    assert (would["would"], would["more"]) == (3, False)
    made = got(local.post("/api/v1/dead/retry", json=some, headers=OURS))
    assert (set(made["retried"]), made["before"]) == (set(ids), None)
    again = got(local.post("/api/v1/dead/retry", json=some | {"preview": True}, headers=OURS))
    assert again["would"] == 0
    assert got(local.post("/api/v1/dead/retry", json=some, headers=OURS))["retried"] == {}
    none = {"filter": True, "name": "nothing"}
    assert got(local.post("/api/v1/dead/purge", json=none, headers=OURS))["purged"] == 0
    assert got(local.post("/api/v1/dead/purge", json=some, headers=OURS))["purged"] == 3
    assert got(local.post("/api/v1/dead/purge", json={"ids": [other.id]}, headers=OURS)) == {
        "purged": 1
    }
    for wrong in ({}, {"filter": True, "ids": ids}):
        assert local.post("/api/v1/dead/purge", json=wrong, headers=OURS).status_code == 400


def test_what_passes_no_filter_is_passed_over_some_at_a_time(
    world: VirtualApp, local: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail.enqueue_many([(f"c{n}",) for n in range(5)])
    world.run_until_idle()
    monkeypatch.setattr(dead, "LOOKED_AT_MAX", 2)
    asked: dict[str, object] = {"filter": True, "error": "c0"}
    done, answer = 0, dict[str, Any]()
    for _ in range(3):
        answer = got(local.post("/api/v1/dead/purge", json=asked, headers=OURS))
        done, asked["before"] = done + answer["purged"], answer["before"]
    assert (done, answer["before"]) == (1, None)


def test_a_worker_and_a_queue_have_pages_with_who_is_next(
    world: VirtualApp, local: TestClient
) -> None:
    told = got(local.get("/api/v1/worker?name=w1"))
    assert [each["terms"]["cpu"] for each in told["workers"]] == [1.0]
    assert [(each["queue"], each["next"]) for each in told["queues"]] == [("default", None)]
    assert local.get("/api/v1/worker?name=none").status_code == 404
    told = got(local.get("/api/v1/queue?name=default"))
    assert (told["queue"]["queued"], told["queue"]["slots"]) == (4, 4)
    assert told["rates"] == {"entered": 0.0, "ended": 0.0, "failed": 0.0}
    assert told["placement"]["balancer"] == "round_robin"
    assert told["limits"] == []


def test_a_queue_has_the_limits_that_its_tasks_count_for(
    world: VirtualApp, local: TestClient
) -> None:
    for name in ("stripe", "mail", "unused"):
        app.limits.set(name, concurrency=2)
    add.options(limits=("stripe", "mail"), queue="a").enqueue_many([(1, 1), (2, 2)])
    add.options(limits=("mail",), queue="b").enqueue(3, 3)
    told = got(local.get("/api/v1/queue?name=a"))["limits"]
    assert [(each["name"], each["concurrency"], each["here"]) for each in told] == [
        *(("mail", 2, 0), ("stripe", 2, 0))
    ]
    assert [each["name"] for each in got(local.get("/api/v1/queue?name=b"))["limits"]] == ["mail"]
    assert got(local.get("/api/v1/queue?name=none"))["limits"] == []
    world.run_until_idle()
    fresh = client()  # nothing of what was answered before
    assert got(fresh.get("/api/v1/queue?name=a"))["limits"] == [], "they have ended"


def test_what_is_known_is_answered_without_a_thread(
    local: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[object] = []
    in_thread = run_in_threadpool

    async def counted(work: Any, *args: Any) -> Any:
        threads.append(work)
        return await in_thread(work, *args)

    monkeypatch.setattr(serving, "run_in_threadpool", counted)
    answers = [got(local.get("/api/v1/queues")) for _ in range(10)]
    assert answers == [answers[0]] * 10
    assert len(threads) == 1


def test_a_queues_settings_are_changed_and_cleared(world: VirtualApp, local: TestClient) -> None:
    said = {"queue": "mail", "concurrency": 3, "rate": "5/s", "max_length": 100}
    told = got(local.post("/api/v1/queues/set", json=said, headers=OURS))
    assert (told["concurrency"], told["rate"], told["max_length"]) == (3, "5/s", 100)
    clear = {"queue": "mail", "unset": ["rate"], "concurrency": 4}
    told = got(local.post("/api/v1/queues/set", json=clear, headers=OURS))
    assert (told["concurrency"], told["rate"]) == (4, None)
    for wrong in (
        *({}, {"rate": "often"}, {"unset": ["colour"]}, {"unset": ["rate"], "rate": "1/s"}),
        *({"concurrency": 0}, {"concurrency": 1.5}),
    ):
        answer = local.post("/api/v1/queues/set", json={"queue": "mail"} | wrong, headers=OURS)
        assert answer.status_code == 400, answer.text


def test_marks_are_put_and_told(world: VirtualApp, local: TestClient) -> None:
    got(local.post("/api/v1/marks", json={"text": "deploy 7"}, headers=OURS))
    (mark,) = got(local.get("/api/v1/marks"))["marks"]
    assert mark["text"] == "deploy 7"
    since = datetime.fromisoformat(mark["at"]).timestamp() + 1
    assert got(local.get("/api/v1/marks", params={"since": since}))["marks"] == []
    wrong = local.post("/api/v1/marks", json={"text": "x" * 201}, headers=OURS)
    assert wrong.status_code == 400


def test_a_schedule_is_changed_in_parts_and_as_it_was_read(
    world: VirtualApp, local: TestClient
) -> None:
    app.schedules.create("nightly", add, cron="0 3 * * *", args=(1, 2))
    etag = got(local.get("/api/v1/schedule?id=nightly"))["etag"]
    said = {"id": "nightly", "etag": etag, "cron": "0 4 * * *", "overlap": "allow"}
    told = got(local.post("/api/v1/schedules/update", json=said, headers=OURS))
    assert (told["cron"], told["overlap"], told["args"]) == ("0 4 * * *", "allow", [1, 2])
    late = said | {"cron": "0 5 * * *"}
    assert local.post("/api/v1/schedules/update", json=late, headers=OURS).status_code == 409
    for wrong in ({"overlap": "never"}, {"cron": "every day"}, {}):
        answer = local.post(
            "/api/v1/schedules/update", json={"id": "nightly"} | wrong, headers=OURS
        )
        assert answer.status_code in (400, 409), answer.text


# ---- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("tasks?limit=0", "limit must be between 1 and 200, got 0"),
        ("tasks?limit=many", "limit must be a whole number, got 'many'"),
        ("tasks?limit=1&limit=2", "limit is given twice"),
        ("tasks?before=1e3", "before must be a whole number"),
        ("tasks?page=2", "there is no 'page' here; the fields are: q, limit, before"),
        ("tasks?q=" + "x" * 1_001, "q must have at most 1000 characters, got 1001"),
        ("tasks?q=a%00b", "q must be printable"),
        ("tasks?q=colour:red", "q: there is no term 'colour'"),
        ("tasks?q=state:done", "q: state must be one of"),
        ("tasks?q=since:yesterday", "q: since: must be an age"),
        ("tasks?q=tag:7", "q: tag: must be KEY=VALUE"),
        ("tasks?q='", "q: a quote is not closed"),
        ("task", "id is missing: an id"),
        ("history?after=nan", "after must be between"),
        ("task?id=x&contents=yes", "contents must be true or false"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(local: TestClient, path: str, text: str) -> None:
    answer = local.get(f"/api/v1/{path}")
    assert answer.status_code == 400, answer.text
    assert text in answer.json()["text"]


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b'{"queue": "q", "seconds": "5"}', 400, "seconds must be a number, got str"),
        (b'{"queue": 7}', 400, "queue must be a text, got int"),
        (b'{"queue": true}', 400, "queue must be a text, got bool"),
        (b"[1]", 400, "the body must be a JSON object, got list"),
        (b"{", 400, "the body is no JSON"),
        (b"[" * 60_000, 400, "the body is no JSON"),
        (b"{}", 400, "queue is missing"),
        (b'{"queue": "q", "seconds": 1e400}', 400, "seconds must be between 0"),
        (b'{"queue": "' + b"q" * BODY_BYTES_MAX + b'"}', 413, "a body may have 65536 bytes"),
        (b'{"queue": "a\\u0000b"}', 400, "queue must be printable"),
    ],
)
def test_a_body_that_cannot_be_meant_is_refused(
    local: TestClient, body: bytes, status: int, text: str
) -> None:
    headers = OURS | {"Content-Type": "application/json"}
    answer = local.post("/api/v1/queues/pause", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert text in answer.json()["text"]


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's, too: to log in takes no token."""
    monkeypatch.setattr(serving, "BODY_S", 0.05)

    async def post() -> int:
        async def parts() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.sleep(30)

        transport = httpx.ASGITransport(application(watch()))
        async with httpx.AsyncClient(transport=transport, base_url=HOST) as here:
            sent = OURS | {"Content-Type": "application/json"}
            asked = here.post("/api/v1/session", content=parts(), headers=sent)
            return (await asyncio.wait_for(asked, 4)).status_code

    assert asyncio.run(post()) == 408


def test_a_list_of_ids_has_a_bound(local: TestClient) -> None:
    answer = local.post("/api/v1/dead/retry", json={"ids": ["x"] * 1_001}, headers=OURS)
    assert answer.json()["text"] == "ids must have 1 to 1000 texts, got 1001"


def test_what_there_is_not_is_not_found(local: TestClient) -> None:
    assert local.get("/api/v1/task?id=none").status_code == 404
    assert local.get("/api/v1/flow?id=none").status_code == 404
    assert local.get("/api/v1/nothing").status_code == 404
    assert local.get("/static/../server.py").status_code == 404
    assert local.get("/static/%2e%2e/server.py").status_code == 404


# ---- who may what -------------------------------------------------------------------------------


def test_without_tokens_only_loopback_is_served(world: VirtualApp) -> None:
    """A page of another site may have its name point at 127.0.0.1, and then reads all."""
    for base in ("http://127.0.0.1:7780", "http://localhost:7780", "http://[::1]:7780"):
        assert client(base=base).get("/api/v1/me").status_code == 200
    for base in ("http://evil.example:7780", "http://127.0.0.1.evil.example", "http://10.0.0.1"):
        answer = client(base=base).get("/api/v1/me")
        assert (answer.status_code, answer.json()["error"]) == (403, "Forbidden")
        assert client(base=base).get("/").status_code == 403
        assert client(base=base).get("/metrics").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (OURS, 200),
        (OURS | {"Origin": HOST, "Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 403),  # a form, or a fetch without a preflight
        (OURS | {"Origin": "https://evil.example"}, 403),
        (OURS | {"Origin": "null"}, 403),
        (OURS | {"Sec-Fetch-Site": "cross-site"}, 403),
        (OURS | {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:80"}, 403),
        (OURS | {"Content-Type": "text/plain"}, 415),
    ],
)
def test_no_other_site_makes_a_browser_change_anything(
    local: TestClient, headers: dict[str, str], status: int
) -> None:
    sent = {"Content-Type": "application/json"} | headers
    answer = local.post("/api/v1/queues/pause", content=b'{"queue": "q"}', headers=sent)
    assert answer.status_code == status, answer.text


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    file = tmp_path / "tokens"
    lines = [f"{role} {sha256(role)} the-{role}" for role in ("viewer", "operator", "admin")]
    file.write_text("# who\n\n" + "\n".join(lines) + "\n")
    return Tokens(str(file))


def test_each_role_may_what_it_may(world: VirtualApp, tokens: Tokens) -> None:
    here = client(Rules(tokens=tokens), "http://queue.example")
    run = add.options(delay=60).enqueue(1, 2)
    pause, purge = ({"queue": "default"},) * 2
    may = {}
    for role in ("", "wrong", "viewer", "operator", "admin"):
        sent = {"Authorization": f"Bearer {role}"} if role else {}
        may[role] = [
            here.get("/api/v1/task", params={"id": run.id}, headers=sent).status_code,
            here.post("/api/v1/queues/pause", json=pause, headers=sent).status_code,
            here.post("/api/v1/queues/purge", json=purge, headers=sent).status_code,
        ]
    assert may[""] == may["wrong"] == [401, 401, 401]
    assert may["viewer"] == [200, 403, 403]
    assert may["operator"] == [200, 200, 403]
    assert may["admin"] == [200, 200, 200]


def test_viewers_see_no_contents_and_no_one_does_where_that_is_said(
    world: VirtualApp, tokens: Tokens
) -> None:
    add.options(id="secret").enqueue(4711, 0)
    fail.options(id="bad").enqueue("4711")
    world.run_until_idle()
    app.schedules.create("s", add, every=60, args=(4711, 2))
    add.options(id="later", delay=60).enqueue(4711, 0)
    paths = ("task?id=secret", "task?id=later", "tasks/later", "schedules", "schedule?id=s")
    for rules, role, sees in (
        (Rules(tokens=tokens), "viewer", False),
        (Rules(tokens=tokens), "operator", True),
        (Rules(tokens=tokens, no_payloads=True), "admin", False),
    ):
        here = client(rules)
        for path in paths:
            answer = here.get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {role}"})
            assert ("4711" in answer.text) is sees, (role, path)
        dead = here.get("/api/v1/task?id=bad", headers={"Authorization": f"Bearer {role}"}).json()
        assert ("args" in dead["dead"]) is sees


def test_an_answer_is_shared_among_those_who_may_see_the_same(
    world: VirtualApp, tokens: Tokens
) -> None:
    """Who sees contents asked just before."""
    here = client(Rules(tokens=tokens))
    add.options(id="later", delay=60).enqueue(4711, 0)
    texts = [
        here.get("/api/v1/task?id=later", headers={"Authorization": f"Bearer {role}"}).text
        for role in ("admin", "viewer", "admin")
    ]
    assert ["4711" in text for text in texts] == [True, False, True]


def test_a_login_is_a_cookie_that_no_script_reads(world: VirtualApp, tokens: Tokens) -> None:
    here = client(Rules(tokens=tokens, root_path="/queue"))
    assert here.get("/queue/api/v1/me").status_code == 401
    assert here.get("/queue/").status_code == 200  # the page itself has nothing of the cluster
    wrong = here.post("/queue/api/v1/session", json={"token": "x"}, headers=OURS)
    assert wrong.status_code == 401
    answer = here.post("/queue/api/v1/session", json={"token": "operator"}, headers=OURS)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/queue" in cookie
    assert got(here.get("/queue/api/v1/me"))["name"] == "the-operator"
    here.post("/queue/api/v1/session/end", json={}, headers=OURS)
    assert here.get("/queue/api/v1/me").status_code == 401


@pytest.mark.parametrize(("origin", "secure"), [(HOST, False), ("https://q.example", True)])
def test_the_cookie_of_a_page_with_tls_is_sent_with_tls_alone(
    world: VirtualApp, tokens: Tokens, origin: str, secure: bool
) -> None:
    """Also behind a proxy: to this process everything comes without."""
    here = client(Rules(tokens=tokens))
    sent = OURS | {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
    answer = here.post("/api/v1/session", json={"token": "viewer"}, headers=sent)
    assert ("Secure" in answer.headers["set-cookie"]) is secure


def test_a_name_that_comes_twice_is_nobodys(world: VirtualApp) -> None:
    """A proxy that adds its header leaves one that the visitor sent in front of it."""
    rules = Rules(auth_header="X-User", auth_role=Role.ADMIN, trust=networks("10.0.0.5"))
    served = application(watch(), app, rules)
    here = TestClient(served, base_url="http://q.example", client=("10.0.0.5", 1))
    said = [("X-User", "root"), ("X-User", "zoe")]
    answer = here.get("/api/v1/me", headers=said)
    assert (answer.status_code, answer.json()["error"]) == (403, "Forbidden")


def test_a_name_in_a_header_is_believed_from_the_proxy_alone(world: VirtualApp) -> None:
    def asks(trust: str) -> int:
        rules = Rules(auth_header="X-User", auth_role=Role.OPERATOR, trust=networks(trust))
        served = application(watch(), app, rules)
        here = TestClient(served, base_url="http://q.example", client=("10.0.0.5", 1))
        return here.get("/api/v1/me", headers={"X-User": "zoe"}).status_code

    assert asks("10.0.0.0/24") == 200
    assert asks("10.0.1.0/24,127.0.0.1") == 401


def test_read_only_changes_nothing_whoever_asks(world: VirtualApp) -> None:
    here = client(Rules(read_only=True))
    answer = here.post("/api/v1/queues/pause", json={"queue": "q"}, headers=OURS)
    assert (answer.status_code, answer.json()["text"]) == (403, "this dashboard is read-only")
    assert here.get("/api/v1/tasks").status_code == 200


def test_every_action_is_in_the_log_with_who_did_it(
    local: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "raftwork.web")
    local.post("/api/v1/queues/pause", json={"queue": "q\u2028x"}, headers=OURS)
    local.post("/api/v1/queues/pause", json={"queue": "mail"}, headers=OURS)
    local.post("/api/v1/flows/retry", json={"id": "none"}, headers=OURS)
    lines = [r.getMessage() for r in caplog.records if r.name == "raftwork.web"]
    assert lines[0].startswith('action ["local", "admin", "queues pause", "done"] {"queue": "mail"')
    assert "UnknownTask" in lines[1]
    assert len(lines) == 2  # what was refused before it began is none


def test_every_action_is_in_the_clusters_audit_with_who_did_it(
    world: VirtualApp, tokens: Tokens
) -> None:
    here = client(Rules(tokens=tokens))

    def act(path: str, role: str, **said: object) -> None:
        sent = {"Authorization": f"Bearer {role}"}
        here.post(f"/api/v1/{path}", json=said, headers=sent)

    act("queues/pause", "operator", queue="mail")
    act("queues/purge", "admin", queue="mail", preview=True)  # which does nothing
    act("queues/purge", "viewer", queue="mail")  # nor does this
    act("flows/retry", "admin", id="none")
    failed, paused = entries(app, 10)
    assert (paused.who, paused.what, paused.outcome) == (
        *("the-operator", 'dashboard: queues pause {"queue": "mail"}', "done"),
    )
    assert failed.who == "the-admin"
    assert failed.outcome.startswith("UnknownTask: ")


def test_what_the_audit_does_not_take_is_done_all_the_same_and_said(
    local: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "check_level", _refuse)
    got(local.post("/api/v1/queues/pause", json={"queue": "mail"}, headers=OURS))
    assert "not in the audit: not here" in caplog.text


def _refuse(*_: object) -> None:
    raise ProtocolError("not here")


@pytest.mark.parametrize(
    ("said", "status", "text"),
    [
        ("after=x", 400, "'x' is no cursor"),
        ("kind=failed,odd", 400, "kinds are"),
        ("topics=all", 400, "topics: they are events, changed; got 'all'"),
        ("since=1h", 400, "there is no 'since' here"),
    ],
)
def test_what_a_stream_cannot_be_asked_for_is_refused_by_name(
    local: TestClient, said: str, status: int, text: str
) -> None:
    answer = local.get(f"/api/v1/stream?{said}")
    assert (answer.status_code, text in answer.json()["text"]) == (status, True), answer.text


def test_a_stream_needs_a_visitor_an_app_for_events_and_room(
    world: VirtualApp, tokens: Tokens
) -> None:
    assert client(Rules(tokens=tokens)).get("/api/v1/stream").status_code == 401
    alone = TestClient(application(watch(), None), base_url=HOST)
    assert alone.get("/api/v1/stream").json()["error"] == "NoApp"
    served = application(watch(), app)
    end_streams(served)
    full = TestClient(served, base_url=HOST).get("/api/v1/stream")
    assert (full.status_code, full.json()["error"]) == (503, "TooManyViewers")


def test_where_a_stream_broke_off_is_what_the_browser_says_of_it(local: TestClient) -> None:
    """It asks for the address that it knows, which says where it began."""
    cursor = f"{1:08x}.{2:012x}.{3:06x}"
    answer = local.get(f"/api/v1/stream?after={cursor}", headers={"Last-Event-ID": "broken"})
    assert (answer.status_code, "'broken'" in answer.json()["text"]) == (400, True)


def test_the_page_is_told_where_logs_are_kept(world: VirtualApp) -> None:
    link = "https://logs.example/?q={task_id}"
    here = TestClient(application(watch(), app, log_link=link), base_url=HOST)
    assert got(here.get("/api/v1/me"))["log_link"] == link
    assert got(client().get("/api/v1/me"))["log_link"] is None


def test_without_a_key_for_it_the_leader_is_not_asked(world: VirtualApp) -> None:
    here = TestClient(application(watch(), None), base_url=HOST)
    assert here.get("/api/v1/overview").status_code == 200
    answer = here.get("/api/v1/tasks")
    assert (answer.status_code, answer.json()["error"]) == (503, "NoApp")


def test_beyond_loopback_without_tokens_there_are_health_and_metrics_alone() -> None:
    here = TestClient(application(watch("a"), None, shows_page=False), base_url="http://a.example")
    assert here.get("/metrics").status_code == 200
    assert here.get("/livez").status_code == 200
    for path in ("/", "/static/app.js", "/api/v1/overview", "/api/v1/openapi.json"):
        assert here.get(path).status_code == 404


def test_where_visitors_are_asked_who_they_are_so_is_who_reads_metrics(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"viewer {sha256('secret')} prometheus\n")
    for rules, bearer, status in (
        (Rules(tokens=Tokens(str(file))), "secret", 200),
        (Rules(tokens=Tokens(str(file))), "guessed", 401),
        (Rules(auth_header="x-user", trust=networks("10.0.0.0/8")), "secret", 401),
    ):
        here = TestClient(application(watch("a"), None, rules), base_url="http://a.example")
        assert here.get("/metrics").status_code == 401
        told = here.get("/metrics", headers={"Authorization": f"Bearer {bearer}"})
        assert told.status_code == status
        assert ("raftwork_broker_up" in told.text) == (status == 200)
        assert here.get("/livez").status_code == 200


# ---- what a browser is told, and what programs read ---------------------------------------------


def test_every_answer_has_the_policy_and_no_file_but_ours_is_served(local: TestClient) -> None:
    for path in ("/", "/static/app.js", "/api/v1/me", "/metrics", "/nothing"):
        headers = local.get(path).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in POLICY
    page = local.get("/").text
    assert (
        "<script>" not in page
        and " style=" not in page
        and "http" not in page.replace("http-equiv", "")
    )


def test_openapi_describes_every_address_and_no_other(local: TestClient) -> None:
    told = got(local.get("/api/v1/openapi.json"))
    described = {(method.upper(), path) for path, of in told["paths"].items() for method in of}
    assert described == {(each.method, each.path.replace(":path", "")) for each in ENDPOINTS}
    ids = [op["operationId"] for of in told["paths"].values() for op in of.values()]
    assert len(ids) == len(set(ids))
    cancel = told["paths"]["/tasks/cancel"]["post"]
    schema = cancel["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["ids"]["type"] == "array"
    assert cancel["x-role"] == "operator"


def test_values_that_json_has_not_are_told_all_the_same(
    world: VirtualApp, local: TestClient
) -> None:
    app.enqueue("sums.odd", float("nan"), b"\x00\xff", "\u2028</script>")
    (task,) = got(local.get("/api/v1/tasks"))["tasks"]
    answer = local.get("/api/v1/task", params={"id": task["id"]})
    told = json.loads(answer.text, parse_constant=lambda name: pytest.fail(name))
    assert told["contents"]["args"] == ["nan", {"$bytes": "AP8="}, "\u2028</script>"]


def _nested(depth: int, inside: object) -> object:
    for _ in range(depth):
        inside = [inside]
    return inside


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({(1, 2): float("inf"), b"k": 1, "s": 2}, {"(1, 2)": "inf", "b'k'": 1, "s": 2}),
        ([10**5_000], [hex(10**5_000)]),
        ({10**5_000: 1}, {hex(10**5_000): 1}),
        (_nested(100_000, float("nan")), {"error": "RaftworkError", "text": ANY}),
        ([float("nan"), _nested(900, 1)], ANY),
    ],
)
def test_no_result_of_a_task_breaks_its_page(value: object, told: object) -> None:
    assert json.loads(serving.encode(value)) == told


def test_a_visitor_has_the_name_that_the_file_has(tokens: Tokens) -> None:
    assert tokens.visitor("admin") == Visitor("the-admin", Role.ADMIN)
    assert tokens.visitor("") is None
