"""`/api/v1/events`: what happened, page by page, or as it happens."""

import pytest
from starlette.testclient import TestClient

from raftwork import App
from raftwork.errors import ProtocolError
from raftwork.features.event_feed import Begin, Cursor
from raftwork.features.event_journal import EventKind
from raftwork.testing.virtual_app import VirtualApp
from raftwork.web.application import application, end_streams
from tests.unit.web.api.served import HOST, app, client, got
from tests.unit.web.seen import watch
from tests.unit.web.stream.answering import Leader, page, told


def test_events_are_told_page_by_page_with_a_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    leader = Leader(
        page(told(3, kind=EventKind.FAILED), told(4), more=True, gap=True),
        page(at=Cursor(1, 9, 0)),
    )
    monkeypatch.setattr(App, "call", lambda _app, *asked: leader.call(*asked))
    here = client()
    first = got(here.get("/api/v1/events?limit=2&kind=failed,enqueued&queue=q&name=m.*&id=t3.1"))
    assert [(each["kind"], each["id"]) for each in first["events"]] == [
        *(("failed", "t3.1"), ("enqueued", "t4.1"))
    ]
    assert (first["gap"], first["more"]) == (True, True)
    assert first["cursor"] == first["events"][-1]["cursor"] == str(Cursor(1, 4, 1))
    rest = got(here.get("/api/v1/events", params={"after": first["cursor"]}))
    assert rest == {"events": [], "cursor": str(Cursor(1, 9, 0)), "gap": False, "more": False}
    oldest, behind = leader.asked
    assert (oldest.begin, oldest.limit) == (Begin.OLDEST, 2)
    assert (len(oldest.kinds), oldest.queue, oldest.name, oldest.id) == (2, "q", "m.*", "t3.1")
    assert (behind.begin, Cursor(behind.epoch, behind.seq, behind.n)) == (
        *(Begin.AFTER, Cursor(1, 4, 1)),
    )


def test_events_begin_now_if_that_is_said_and_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leader = Leader(page(at=Cursor(1, 9, 0)), ProtocolError("this cluster keeps no events"))
    monkeypatch.setattr(App, "call", lambda _app, *asked: leader.call(*asked))
    here = client()
    assert got(here.get("/api/v1/events?after=now"))["cursor"] == str(Cursor(1, 9, 0))
    assert leader.asked[0].begin is Begin.NOW
    for wrong in ("after=x", "kind=odd", "limit=1001", "topics=events", "queue=a,b"):
        assert here.get(f"/api/v1/events?{wrong}").status_code == 400, wrong
    assert here.get("/api/v1/events").json()["text"] == "this cluster keeps no events"


def test_who_accepts_an_event_stream_gets_the_events_as_they_happen(
    world: VirtualApp,
) -> None:
    served = application(watch(), app)
    end_streams(served)  # or it would never end
    here = TestClient(served, base_url=HOST)
    stream = here.get("/api/v1/events", headers={"Accept": "text/event-stream"})
    assert stream.json()["error"] == "TooManyViewers"
    assert here.get("/api/v1/events").json()["error"] == "ProtocolError"  # this one keeps none
