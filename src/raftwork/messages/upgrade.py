"""Frames between clients and brokers about upgrades."""

from typing import NamedTuple


class FinishUpgrade(NamedTuple):
    """Take the cluster to the highest level of the leader's release, if every broker runs it."""

    request: int


class UpgradeFinished(NamedTuple):
    """The cluster is at `level`, for good; it was at `before` when that was asked for."""

    request: int
    level: int
    before: int
