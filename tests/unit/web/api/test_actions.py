"""What is changed over the API: what it does, what it would do, and what is written down of it."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from raftwork.client.audit import entries
from raftwork.client.dead_letters import DeadTasks
from raftwork.errors import ProtocolError, Unavailable
from raftwork.features import audit
from raftwork.testing.virtual_app import VirtualApp
from raftwork.web.access import Rules, Tokens, sha256
from raftwork.web.api import dead
from raftwork.web.api.catalogue import ENDPOINTS
from tests.unit.web.api.served import OURS, add, app, client, fail, got


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


def state_of(world: VirtualApp) -> dict[str, list[tuple[object, ...]]]:
    """Everything that the cluster keeps."""
    db = world._world.cluster._db
    tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    return {str(name): list(db.execute(f'SELECT * FROM "{name}"')) for (name,) in tables}


def test_no_action_that_is_asked_with_preview_does_anything(world: VirtualApp) -> None:
    """Some say what they would do; all others refuse the word, and do nothing."""
    dead_ids = [run.id for run in fail.enqueue_many([("a",), ("b",)])]
    with app.flow("f") as flow:
        flow.add(fail, "x")
    world.run_until_idle()
    waits = add.options(delay=60).enqueue(1, 2)
    add.options(queue="bulk").enqueue(1, 2)
    app.schedules.create("nightly", add, cron="0 3 * * *", args=(1, 2))
    app.limits.set("stripe", concurrency=3)
    some: dict[str, list[dict[str, object]]] = {
        "/marks": [{"text": "deploy"}],
        "/tasks/cancel": [{"ids": [waits.id]}, {"queue": "default"}],
        "/dead/retry": [{"ids": dead_ids}, {"filter": True}],
        "/dead/purge": [{"ids": dead_ids}, {"filter": True}],
        "/queues/set": [{"queue": "bulk", "concurrency": 3}],
        "/workers/drain": [{"worker": "w1"}],
        "/schedules/update": [{"id": "nightly", "tz": "UTC"}],
        "/flows/retry": [{"id": "f"}],
    }
    fields = {"queue": "bulk", "id": "nightly", "limit": "stripe"}
    before, here, previewed = state_of(world), client(), set()
    assert before["audit"] == []
    for each in ENDPOINTS:
        if not each.changes:
            continue
        default = {f.name: fields[f.name] for f in each.fields if f.required and f.name in fields}
        for said in some.get(each.path, [default]):
            answer = here.post(f"/api/v1{each.path}", json=said | {"preview": True}, headers=OURS)
            assert state_of(world) == before, (each.path, said, answer.text)
            if answer.status_code == 200:
                previewed.add(each.path)
            else:
                assert "there is no 'preview' here" in answer.json()["text"], answer.text
    assert previewed == {"/dead/retry", "/dead/purge", "/queues/purge"}
    for path, bodies in some.items():  # which do change something, or what is said above is nothing
        here.post(f"/api/v1{path}", json=bodies[0], headers=OURS)
        assert state_of(world) != before, path
        before = state_of(world)


def test_a_preview_of_ids_says_which_of_them_are_dead(world: VirtualApp, local: TestClient) -> None:
    first, second = (run.id for run in fail.enqueue_many([("a",), ("b",)]))
    world.run_until_idle()
    asked = {"ids": [first, "none"], "preview": True}
    for what in ("retry", "purge"):
        would = got(local.post(f"/api/v1/dead/{what}", json=asked, headers=OURS))
        assert (would["would"], [each["id"] for each in would["sample"]]) == (1, [first])
    got(local.post("/api/v1/dead/retry", json={"ids": [first]}, headers=OURS))
    both = {"ids": [first, second], "preview": True}
    would = got(local.post("/api/v1/dead/retry", json=both, headers=OURS))
    assert [each["id"] for each in would["sample"]] == [second]
    for wrong in ({"preview": True}, both | {"filter": True}):
        assert local.post("/api/v1/dead/purge", json=wrong, headers=OURS).status_code == 400


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


def test_an_action_that_no_leader_answers_is_in_the_audit_as_one_that_may_be_done(
    world: VirtualApp, local: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.queue("mail").__class__, "pause", _unavailable)
    answer = local.post("/api/v1/queues/pause", json={"queue": "mail"}, headers=OURS)
    assert answer.status_code == 503
    (row,) = entries(app, 10)
    assert row.what == 'dashboard: queues pause {"queue": "mail"}'
    assert row.outcome == "not known, it may have been done: Unavailable: no leader"


def _unavailable(*_: object) -> None:
    raise Unavailable("no leader")


def test_a_retry_that_stops_half_way_says_what_is_done_and_what_is_left(
    world: VirtualApp, local: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [run.id for run in fail.enqueue_many([(f"c{n}",) for n in range(4)])]
    world.run_until_idle()
    tasks = app.dead().__class__
    real, stops = tasks.retry, iter([False, False, True])

    def retry(self: DeadTasks, *these: str) -> Any:
        return _unavailable() if next(stops, False) else real(self, *these)

    monkeypatch.setattr(tasks, "retry", retry)
    said = {"filter": True}
    first = got(local.post("/api/v1/dead/retry", json=said, headers=OURS))
    assert (list(first["retried"]), first["left"]) == (ids[:1:-1], ids[1::-1])
    assert first["stopped"] == "Unavailable: no leader"
    (row,) = entries(app, 10)
    assert row.outcome == "2 retried, 0 refused, 2 left: Unavailable: no leader"
    rest = said | {"before": first["before"]}
    second = got(local.post("/api/v1/dead/retry", json=rest, headers=OURS))
    assert (list(second["retried"]), second["left"], second["before"]) == (ids[1::-1], [], None)
    odd = {"ids": [ids[0], "none"]}
    got(local.post("/api/v1/dead/retry", json=odd, headers=OURS))
    assert next(entries(app, 1)).outcome == "1 retried, 1 refused, 0 left"


def test_a_name_that_is_too_long_keeps_nothing_out_of_the_audit(
    world: VirtualApp, tmp_path: Path
) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"admin {sha256('t')} {'x' * 10_000}\n")
    here = client(Rules(tokens=Tokens(str(file))))
    sent = {"Authorization": "Bearer t"}
    got(here.post("/api/v1/queues/pause", json={"queue": "mail"}, headers=sent))
    (row,) = entries(app, 10)
    assert set(row.who) == {"x"}
