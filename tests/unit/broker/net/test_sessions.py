"""Sessions: bounded, the least lately heard goes first."""

import pytest

from raftwork.broker.net import sessions as module
from raftwork.broker.net.sessions import IDLE_MS, End, Kind, Sessions


def test_only_who_said_hello_is_known_and_only_as_what_it_is() -> None:
    sessions = Sessions()
    assert not sessions.heard(b"1", Kind.CLIENT, 0)
    sessions.open(b"1", Kind.CLIENT, 0)
    assert sessions.heard(b"1", Kind.CLIENT, 0)
    assert not sessions.heard(b"1", Kind.WORKER, 0)
    assert sessions.kind(b"1") is Kind.CLIENT
    assert sessions.close(b"1")
    assert not sessions.close(b"1")
    assert sessions.kind(b"1") is None


def test_the_least_lately_heard_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 3)
    sessions = Sessions()
    for routing in (b"1", b"2", b"3"):
        assert sessions.open(routing, Kind.CLIENT, 0) == []
    sessions.heard(b"1", Kind.CLIENT, 1)
    assert sessions.open(b"4", Kind.WORKER, 2) == [b"2"]
    assert sorted(sessions) == [b"1", b"3", b"4"]


def test_a_session_opened_again_takes_no_second_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 2)
    sessions = Sessions()
    for routing in (b"1", b"2", b"2", b"2"):
        assert sessions.open(routing, Kind.CLIENT, 0) == []


def test_idle_sessions_are_dropped_when_somebody_comes() -> None:
    sessions = Sessions()
    sessions.open(b"1", Kind.CLIENT, 0)
    sessions.open(b"2", Kind.CLIENT, 5)
    assert sessions.open(b"3", Kind.CLIENT, IDLE_MS + 1) == [b"1"]


def test_it_is_counted_why_sessions_ended_and_how_many_are_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 3)
    sessions = Sessions()
    for routing in (b"1", b"2", b"3", b"3"):
        sessions.open(routing, Kind.CLIENT, 0)
    assert sessions.clients == 3
    sessions.open(b"4", Kind.WORKER, 2)  # 1 makes room
    assert sessions.clients == 2
    sessions.open(b"2", Kind.WORKER, 3)
    assert sessions.clients == 1
    sessions.close(b"3", End.SLOW)
    sessions.close(b"3", End.SLOW)
    sessions.open(b"5", Kind.CLIENT, IDLE_MS + 3)  # 4 is dropped
    ended = {why: count for why, count in sessions.ended.items() if count}
    assert ended == {End.ROOM: 1, End.SLOW: 1, End.IDLE: 1}
    assert sessions.clients == 1
