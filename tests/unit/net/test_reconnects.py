"""Connections that stay away are asked for anew, again and again, and no others."""

from raftwork.net.reconnects import PATIENCE_MS, Renewals


def test_who_stays_away_is_asked_for_again_and_again() -> None:
    renewals = Renewals()
    renewals.down("a:1", 100)
    assert renewals.due(100 + PATIENCE_MS - 1) == []
    assert renewals.due(100 + PATIENCE_MS) == ["a:1"]
    assert renewals.due(100 + PATIENCE_MS) == []
    assert renewals.due(100 + 2 * PATIENCE_MS) == ["a:1"]


def test_who_is_there_is_left_alone() -> None:
    renewals = Renewals()
    for address in ("a:1", "b:1"):
        renewals.down(address, 0)
    renewals.up("a:1")
    renewals.up("never heard of:1")
    assert renewals.due(PATIENCE_MS) == ["b:1"]
    renewals.down("a:1", PATIENCE_MS)
    assert renewals.due(2 * PATIENCE_MS) == ["b:1", "a:1"]
