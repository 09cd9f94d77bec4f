"""Whom clients and workers ask besides, and which claim to lead counts."""

import pytest

from raftwork.net.leader_claims import NAMED_MAX, leading, learnable


def test_the_highest_epoch_leads_and_without_a_claim_nobody_does() -> None:
    assert leading([(3, "old"), (7, "new"), (5, "other")]) == "new"
    assert leading(iter(())) is None


@pytest.mark.parametrize("address", ["known:1", "0.0.0.0:1", "[::]:1", "no address", "", "x" * 400])
def test_a_broker_that_is_known_or_cannot_be_dialled_is_not_asked(address: str) -> None:
    assert not learnable(address, ["known:1"], 1)
    assert learnable("127.0.0.1:1", ["known:1"], 1)


def test_hostile_brokers_cannot_name_ever_new_ones() -> None:
    known = {f"h:{n}" for n in range(1, 4 + NAMED_MAX)}
    assert learnable("new:1", known, 4)
    assert not learnable("new:1", known, 3)
