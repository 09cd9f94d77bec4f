"""The first formation: all, all blank, and by the lowest name alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftwork.broker.cluster.formation import REACHABLE_MS, Formation
from raftwork.consensus.core import Peer

NAMES = ["a", "b", "c"]


def peer(name: str, number: int = 0) -> Peer:
    return Peer(name, f"{name}{number}".encode().ljust(16, b"."))


def heard_by(me: str, *others: str, now: int = 0) -> Formation:
    formation = Formation(peer(me), NAMES)
    for name in others:
        formation.heard(peer(name), b"", now)
    return formation


def test_the_lowest_name_forms_with_every_incarnation_it_heard() -> None:
    formation = heard_by("a", "b", "c")
    assert formation.roster(1) == {name: peer(name).incarnation for name in NAMES}


@pytest.mark.parametrize("me", ["b", "c"])
def test_no_other_name_forms(me: str) -> None:
    assert heard_by(me, *NAMES).roster(1) is None


@pytest.mark.parametrize("others", [(), ("b",), ("c",)])
def test_nothing_is_formed_without_all(others: tuple[str, ...]) -> None:
    assert heard_by("a", *others).roster(1) is None


def test_nothing_is_formed_beside_a_broker_that_belongs_to_a_cluster() -> None:
    """An emptied directory must not vote in place of the one that it replaces."""
    formation = heard_by("a", "b", "c")
    formation.heard(peer("b"), b"some cluster", 1)
    assert formation.roster(2) is None


def test_a_broker_that_is_not_heard_any_more_is_not_reachable() -> None:
    formation = heard_by("a", "b", "c", now=100)
    formation.heard(peer("b"), b"", 100 + REACHABLE_MS)
    assert formation.roster(99 + REACHABLE_MS) is not None
    assert formation.roster(100 + REACHABLE_MS) is None


def test_the_incarnation_heard_last_is_the_one_that_votes() -> None:
    formation = heard_by("a", "b", "c")
    formation.heard(peer("b", 1), b"", 1)
    roster = formation.roster(2)
    assert roster is not None
    assert roster["b"] == peer("b", 1).incarnation


def test_strangers_do_not_count() -> None:
    formation = heard_by("a", "b")
    formation.heard(peer("d"), b"", 0)
    assert formation.roster(1) is None


def test_one_broker_is_a_cluster() -> None:
    assert Formation(peer("a"), ["a"]).roster(0) == {"a": peer("a").incarnation}


@given(
    st.lists(
        st.tuples(st.sampled_from(["b", "c", "x"]), st.booleans(), st.integers(0, 2_000)),
        max_size=12,
    )
)
def test_a_roster_holds_only_who_was_last_heard_blank_and_lately(
    history: list[tuple[str, bool, int]],
) -> None:
    formation, now = Formation(peer("a"), NAMES), 0
    last: dict[str, tuple[bool, int]] = {}
    for name, blank, wait in history:
        now += wait
        formation.heard(peer(name), b"" if blank else b"cluster", now)
        last[name] = (blank, now)
    fresh = all(
        name in last and last[name][0] and now - last[name][1] < REACHABLE_MS for name in ("b", "c")
    )
    assert (formation.roster(now) is not None) == fresh
