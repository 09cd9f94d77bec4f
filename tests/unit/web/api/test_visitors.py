"""Who may do what over HTTP, and what other sites may make a browser do."""

import logging
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from raftwork import current
from raftwork.testing.virtual_app import VirtualApp
from raftwork.web.access import Role, Rules, Tokens, Visitor, networks, sha256
from raftwork.web.api.catalogue import ENDPOINTS
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


#: In no id and no time by chance.
SECRET = 471_147_114_711


@app.schedule("s", every=60, args=(SECRET,), kwargs={"more": SECRET})
@app.task(name="sums.keep")
def keep(what: int, *, more: int) -> int:
    """Leaves what it was given wherever a task can leave something."""
    logging.getLogger("keep").warning("it was %s", what)
    current().checkpoint([what])
    return what + more


def contents_of(world: VirtualApp) -> None:
    """Tasks of every fate, and a schedule, with SECRET in all that is theirs."""
    keep.options(id="secret").enqueue(SECRET, more=SECRET)
    fail.options(id="bad", tags={"t": "1"}).enqueue(str(SECRET))
    world.run_until_idle()
    app.schedules.apply(app.declarations, "m:app")
    keep.options(id="later", delay=60).enqueue(SECRET, more=SECRET)
    with app.flow("f") as flow:
        flow.add(keep, flow.add(add, 4711, 0), more=SECRET)


_ASKED = {"id": "later", "name": "default", "queue": "default", "limit": "l", "text": "t"}
_ASKED |= {"worker": "w1", "tz": "UTC"}


def test_no_answer_has_contents_for_who_may_not_see_them(world: VirtualApp, tokens: Tokens) -> None:
    """All addresses, and with each id; actions, too, answer with what they changed."""
    contents_of(world)
    app.limits.set("l", concurrency=1)
    sees = {"/task", "/tasks/{id:path}", "/schedules", "/schedule", "/schedules/update"}
    sees |= {"/schedules/reset"}
    for rules, role, shown in (
        (Rules(tokens=tokens), "viewer", set[str]()),
        (Rules(tokens=tokens, no_payloads=True), "admin", set[str]()),
        (Rules(tokens=tokens), "admin", sees),
    ):
        here, found, sent = client(rules), set[str](), {"Authorization": f"Bearer {role}"}
        for each in ENDPOINTS:
            names = {f.name for f in each.fields if f.required}
            names |= {"tz"} & {f.name for f in each.fields}
            for id_ in ("secret", "bad", "later", "s", "f") if "id" in names else ("",):
                said = {name: _ASKED[name] for name in names} | ({"id": id_} if id_ else {})
                path = each.path
                for name in [name for name in said if f"{{{name}" in path]:
                    path = re.sub(rf"{{{name}(:path)?}}", said.pop(name), path)
                if each.stream is each.answer or (each.path == "/schedules/trigger" and id_ == "s"):
                    continue
                url = f"/api/v1{path}"
                answer = (
                    here.post(url, json=said, headers=sent)
                    if each.changes
                    else here.get(url, params=said, headers=sent)
                )
                if str(SECRET) in _without_errors(answer.text):
                    found.add(each.path)
        assert found == shown, role


def _without_errors(text: str) -> str:
    """What code says of its failure is for all who look."""
    return text.replace(f"no such customer: {SECRET}", "")


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
