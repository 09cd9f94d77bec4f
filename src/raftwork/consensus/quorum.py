"""Majorities: pure arithmetic over what replicas have said."""

from collections.abc import Iterable
from typing import TypeVar

from raftwork.consensus.core import Position

Rank = TypeVar("Rank", int, Position)


def majority(size: int) -> int:
    """How many of `size` replicas any two quorums need so that they share one."""
    assert size > 0, "a cluster has at least one replica"
    return size // 2 + 1


def reached(values: Iterable[Rank], quorum: int) -> Rank | None:
    """The largest value that at least `quorum` of the values have reached, None if too few."""
    ranked = sorted(values, reverse=True)
    return ranked[quorum - 1] if len(ranked) >= quorum else None
