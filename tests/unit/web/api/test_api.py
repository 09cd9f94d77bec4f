"""The API over a cluster in this process: what it answers, to whom, and what it refuses."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import ANY
from urllib.parse import quote

import httpx
import pytest
from starlette.concurrency import run_in_threadpool
from starlette.testclient import TestClient

from raftwork.testing.virtual_app import VirtualApp
from raftwork.web.access import Rules, Tokens
from raftwork.web.api import serving
from raftwork.web.api.catalogue import ENDPOINTS
from raftwork.web.api.endpoint import BODY_BYTES_MAX
from raftwork.web.application import POLICY, application, end_streams
from tests.unit.web.api.served import HOST, OURS, add, app, client, fail, got
from tests.unit.web.seen import watch

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


def test_marks_are_put_and_told(world: VirtualApp, local: TestClient) -> None:
    got(local.post("/api/v1/marks", json={"text": "deploy 7"}, headers=OURS))
    (mark,) = got(local.get("/api/v1/marks"))["marks"]
    assert mark["text"] == "deploy 7"
    since = datetime.fromisoformat(mark["at"]).timestamp() + 1
    assert got(local.get("/api/v1/marks", params={"since": since}))["marks"] == []
    wrong = local.post("/api/v1/marks", json={"text": "x" * 201}, headers=OURS)
    assert wrong.status_code == 400


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


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "task?id=none", 404, "UnknownTask"),
        ("GET", "tasks/none", 404, "UnknownTask"),
        ("GET", "flow?id=none", 404, "UnknownTask"),
        ("GET", "schedule?id=none", 404, "UnknownSchedule"),
        ("GET", "queue?name=none", 404, "UnknownQueue"),
        ("GET", "worker?name=none", 404, "UnknownWorker"),
        ("GET", "nothing", 404, "NotFound"),
        ("GET", "../../nothing", 404, "NotFound"),
        ("PUT", "queues/pause", 405, "MethodNotAllowed"),
        ("GET", "queues/pause", 405, "MethodNotAllowed"),
        ("DELETE", "queues", 405, "MethodNotAllowed"),
        ("POST", "openapi.json", 405, "MethodNotAllowed"),
        ("POST", "../../metrics", 405, "MethodNotAllowed"),
    ],
)
def test_what_there_is_not_is_not_found_and_said_in_json(
    local: TestClient, method: str, path: str, status: int, error: str
) -> None:
    answer = local.request(method, f"/api/v1/{path}", headers=OURS)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"] == error
    assert answer.json()["text"]
    assert ("allow" in answer.headers) == (status == 405)


def test_no_other_file_is_found(local: TestClient) -> None:
    assert local.get("/static/../server.py").status_code == 404
    assert local.get("/static/%2e%2e/server.py").status_code == 404


def test_what_fails_outside_of_the_api_is_said_in_json(
    world: VirtualApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raftwork.web.metrics.Metrics.page", lambda _metrics: 1 / 0)
    answer = client().get("/metrics")
    assert (answer.status_code, answer.json()["error"]) == (500, "ZeroDivisionError")


@pytest.mark.parametrize("bad", ["x" * 999, " ", "a,b"])
def test_a_name_that_can_never_be_one_contradicts_nothing(local: TestClient, bad: str) -> None:
    """It is a wrong question (400), or there is no such thing (404); never a conflict."""
    for each in ENDPOINTS:
        for field in each.fields:
            if field.kind is not str or field.name == "balancer":
                continue  # which balancers there are is the leader's to say
            said = {f.name: f.name for f in each.fields if f.required} | {field.name: bad}
            path, url = each.path, ""
            for name in [name for name in said if f"{{{name}" in path]:
                value = quote(said.pop(name), safe="")
                path = path.replace(f"{{{name}:path}}", value).replace(f"{{{name}}}", value)
            url = f"/api/v1{path}"
            if each.changes:
                answer = local.post(url, json=said, headers=OURS)
            elif each.stream is each.answer:
                continue
            else:
                answer = local.get(url, params=said)
            answered = answer.status_code, "keeps no events" in answer.text
            assert answered in {(200, False), (400, False), (404, False), (409, True)}, (
                *(each.path, field.name, answer.text),
            )
    for name in (bad, "x" * 256):
        answer = local.get("/api/v1/queue", params={"name": name})
        assert (answer.status_code, answer.json()["text"][:11]) == (400, "queue must ")


def test_a_queue_that_is_newer_than_what_brokers_said_is_one(
    world: VirtualApp, local: TestClient
) -> None:
    add.options(queue="new").enqueue(1, 2)
    assert got(local.get("/api/v1/queue?name=new"))["queue"]["name"] == "new"


# ---- streams ------------------------------------------------------------------------------------


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
    served = {(each.method, each.path.replace(":path", "")) for each in ENDPOINTS}
    assert described == served | {("POST", "/session"), ("POST", "/session/end")}
    operations = [op for of in told["paths"].values() for op in of.values()]
    responses = {code for operation in operations for code in operation["responses"]}
    assert responses >= {str(status) for status in serving._STATUS.values()}
    events = told["paths"]["/events"]["get"]["responses"]["200"]["content"]
    assert events.keys() == {"application/json", "text/event-stream"}
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
