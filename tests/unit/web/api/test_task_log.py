"""What a task logs, as the API tells it."""

from typing import Any

import pytest

from raftwork import App
from raftwork.client.reply import Reply
from raftwork.features.task_log import LogRead
from raftwork.testing.virtual_app import VirtualApp
from raftwork.web.access import Rules
from tests.unit.client.test_live_log import BEGUN, ENDED, SILENT
from tests.unit.web.api.served import client, fail, got

NEVER = "0199c1a2-7f2b-7c3e-8d4f-5a6b7c8d9e0f"


def answering(monkeypatch: pytest.MonkeyPatch, *answers: LogRead) -> list[Any]:
    """What the leader is asked from now on, and answers."""
    asked, left = list[Any](), list(answers)

    def call(_app: App, request: object, _reply: type[object], **_: object) -> Reply[Any]:
        asked.append(request)
        reply: Reply[Any] = Reply()
        reply.tell(left.pop(0))
        return reply

    monkeypatch.setattr(App, "call", call)
    return asked


def test_lines_are_told_with_a_cursor_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, BEGUN, SILENT, ENDED)
    first = got(client().get("/api/v1/log", params={"id": "t"}))
    assert first["lines"] == [{"at": "1970-01-01T00:00:01+00:00", "text": "one"}]
    assert (first["status"], first["attempt"], first["worker"]) == ("running", 1, "w1")
    assert (first["after"], first["over"], first["heard"]) == ("7.101", False, True)
    again = got(client().get("/api/v1/tasks/a/b/log", params={"after": first["after"]}))
    assert (again["lines"], again["over"]) == ([], False)
    assert (asked[1].id, asked[1].token, asked[1].after) == ("a/b", 7, 101)
    assert got(client().get("/api/v1/log", params={"id": "t", "after": "7.101"}))["over"]


def test_of_a_task_that_has_failed_the_last_lines_are_told(world: VirtualApp) -> None:
    run = fail.enqueue("seven")
    world.run_until_idle()
    told = got(client().get(f"/api/v1/tasks/{run.id}/log"))
    assert (told["status"], told["lines"], told["over"]) == ("failed", [], True)


def test_what_cannot_be_meant_and_what_is_not_there_is_refused(world: VirtualApp) -> None:
    assert client().get("/api/v1/log", params={"id": NEVER}).status_code == 404
    wrong = client().get("/api/v1/log", params={"id": NEVER, "after": "soon"})
    assert (wrong.status_code, "no cursor" in wrong.json()["text"]) == (400, True)


def test_who_may_not_see_contents_sees_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, BEGUN)
    refused = client(Rules(no_payloads=True)).get("/api/v1/log", params={"id": "t"})
    assert (refused.status_code, asked) == (403, [])


def test_that_there_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, SILENT._replace(why="it runs elsewhere"))
    refused = client().get("/api/v1/log", params={"id": "t"})
    assert (refused.status_code, refused.json()["text"]) == (409, "it runs elsewhere")
