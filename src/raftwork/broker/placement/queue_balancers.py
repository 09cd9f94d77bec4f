"""Which balancer plans which queue: the one that was set for it, else the cluster's default.

The names come from the machine, so every leader finds what was set, and a change counts from the
next plan on. Each queue has an instance to itself, also of the default: on a hash ring shared by
all queues, another queue's many workers would come between a key and its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from raftwork.broker.events import BalancerUnknown, unheard
from raftwork.broker.placement.balancers import BALANCERS, SCORES
from raftwork.features.placement import Placing

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from raftwork.broker.events import Event
    from raftwork.broker.machine import Machine
    from raftwork.broker.placement.balancers import Balancer


class _Own(NamedTuple):
    name: str
    balancer: Balancer


class QueueBalancers:
    """The balancers of one leadership."""

    def __init__(
        self,
        machine: Machine,
        default: str,
        rng: Random,
        tell: Callable[[Event], None] = unheard,
    ) -> None:
        """`default` is the name of the cluster's balancer, one of `BALANCERS`."""
        self._machine = machine
        self._default = default
        self._rng = rng
        self._tell = tell
        self._own: dict[str, _Own] = {}

    def of(self, queue: str) -> Balancer:
        """The balancer that places the next tasks of this queue."""
        name = self._name(queue)
        own = self._own.get(queue)
        if own is None or own.name != name:
            own = self._own[queue] = _Own(name, self._make(queue, name))
        return own.balancer

    def placing(self, queue: str) -> Placing:
        """For people: by what it places them."""
        name = self._name(queue)
        known = name if name in BALANCERS else self._default
        return Placing(known, SCORES.get(known))

    def _name(self, queue: str) -> str:
        return self._machine.balancer(queue) or self._default

    def _make(self, queue: str, name: str) -> Balancer:
        """An instance of the queue's own: a strategy may remember things, such as the next turn."""
        make = BALANCERS.get(name)
        if make is None:  # set under a leader of another version
            self._tell(BalancerUnknown(queue, name))
            make = BALANCERS[self._default]
        return make(self._rng)
