"""Which balancer plans which queue: the queue's own, if one was set for it, else the cluster's.

The names come from the machine, so every leader finds what was set, and a change counts from the
next plan on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from raftwork.broker.balancers import BALANCERS

if TYPE_CHECKING:
    from random import Random

    from raftwork.broker.balancers import Balancer
    from raftwork.broker.queue import Machine

log = logging.getLogger("raftwork.broker")


class _Own(NamedTuple):
    name: str
    balancer: Balancer


class Strategies:
    """The balancers of one leadership."""

    def __init__(self, machine: Machine, default: Balancer, rng: Random) -> None:
        self._machine = machine
        self._default = default
        self._rng = rng
        self._own: dict[str, _Own] = {}

    def of(self, queue: str) -> Balancer:
        """The balancer that places the next tasks of this queue."""
        name = self._machine.balancer(queue)
        own = self._own.get(queue)
        if own is not None and own.name == name:
            return own.balancer
        if name is None:
            self._own.pop(queue, None)
            return self._default
        own = self._own[queue] = _Own(name, self._make(queue, name))
        return own.balancer

    def _make(self, queue: str, name: str) -> Balancer:
        """One of the queue's own: what a strategy remembers, such as whose turn it is."""
        make = BALANCERS.get(name)
        if make is None:  # set under a leader of another version
            log.warning("queue %s: no balancer %r here, so the cluster's", queue, name)
            return self._default
        return make(self._rng)
