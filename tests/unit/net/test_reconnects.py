"""Connections that stay away are asked for anew, again and again, and no others."""

from raftwork.net.reconnects import PATIENCE_MS, Reconnects


def test_who_stays_away_is_asked_for_again_and_again() -> None:
    reconnects = Reconnects()
    reconnects.down("a:1", 100)
    assert reconnects.due(100 + PATIENCE_MS - 1) == []
    assert reconnects.due(100 + PATIENCE_MS) == ["a:1"]
    assert reconnects.due(100 + PATIENCE_MS) == []
    assert reconnects.due(100 + 2 * PATIENCE_MS) == ["a:1"]


def test_who_is_there_is_left_alone() -> None:
    reconnects = Reconnects()
    for address in ("a:1", "b:1"):
        reconnects.down(address, 0)
    reconnects.up("a:1")
    reconnects.up("never heard of:1")
    assert reconnects.due(PATIENCE_MS) == ["b:1"]
    reconnects.down("a:1", PATIENCE_MS)
    assert reconnects.due(2 * PATIENCE_MS) == ["b:1", "a:1"]
