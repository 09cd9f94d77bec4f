"""Who may do what over HTTP, and what other sites may make a browser do."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from raftwork.testing.virtual_app import VirtualApp
from raftwork.web.access import Role, Rules, Tokens, Visitor, networks, sha256
from raftwork.web.application import application
from tests.unit.web.api.served import HOST, OURS, add, app, client, fail, got
from tests.unit.web.seen import watch


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


def test_a_visitor_has_the_name_that_the_file_has(tokens: Tokens) -> None:
    assert tokens.visitor("admin") == Visitor("the-admin", Role.ADMIN)
    assert tokens.visitor("") is None
