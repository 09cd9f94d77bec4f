"""Lanes by priority, and in each by tenant and place. Sans-IO."""

from __future__ import annotations

from bisect import insort
from operator import neg
from typing import TYPE_CHECKING

from raftwork.broker.dispatch.lane_order import ByPlace, ByTenant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from raftwork.broker.machine.lanes import Lane


class Fairness:
    """What the tenants of a fair queue have in flight, and what they count for."""

    def __init__(self, in_flight: Mapping[str, int], weights: Mapping[str, int]) -> None:
        self.in_flight = in_flight
        self.weights = weights


class _Level:
    """The lanes of one priority in which something waits."""

    def __init__(self, first_place: Callable[[int], int | None], fairness: Fairness | None) -> None:
        self.oldest = ByPlace(first_place)
        self.tenants: ByTenant | None = None
        if fairness is not None:
            self.tenants = ByTenant(first_place, fairness.in_flight, fairness.weights)

    def first(self, *, patient: bool) -> tuple[int, int] | None:
        if self.tenants is None or patient:
            return self.oldest.first()
        return self.tenants.first()


class LaneLevels:
    """Lanes in which something waits, and which of them comes next."""

    def __init__(self, first_place: Callable[[int], int | None], fairness: Fairness | None) -> None:
        """`first_place(lane)` is None if nothing may be taken from it, or it is not of these."""
        self._first_place = first_place
        self._fairness = fairness
        self._levels: dict[int, _Level] = {}
        self._priorities: list[int] = []  # of _levels, the highest first
        self._tenant: str | None = None
        #: Whether there were lanes of more than one tenant.
        self.mixed = False

    @property
    def several(self) -> bool:
        """Whether there are lanes of more than one priority."""
        return len(self._priorities) > 1

    def add(self, number: int, lane: Lane, place: int) -> None:
        """A task of this lane waits at this place, or none before it."""
        self.mixed |= self._tenant not in (None, lane.tenant)
        self._tenant = lane.tenant
        level = self._levels.get(lane.priority)
        if level is None:
            level = self._levels[lane.priority] = _Level(self._first_place, self._fairness)
            insort(self._priorities, lane.priority, key=neg)
        level.oldest.add(number, place)
        if level.tenants is not None:
            level.tenants.add(number, place, lane.tenant)

    def remove(self, number: int, lane: Lane) -> None:
        """It is none of these, until it is added again."""
        level = self._levels.get(lane.priority)
        if level is not None:
            level.oldest.remove(number)
            if level.tenants is not None:
                level.tenants.remove(number, lane.tenant)

    def first(self, *, patient: bool = False) -> int | None:
        """The lane whose turn it is; the one that has waited longest if `patient`."""
        found: list[tuple[int, int]] = []
        while len(found) < len(self._priorities):
            priority = self._priorities[len(found)]
            first = self._levels[priority].first(patient=patient)
            if first is None:
                del self._levels[priority]
                self._priorities.remove(priority)
            elif not patient:
                return first[1]
            else:
                found.append(first)
        return min(found)[1] if found else None

    def next_place(self, priority: int) -> int:
        """Where the next one of this priority stands, at the least, besides `first`: not fair."""
        return self._levels[priority].oldest.next_place

    def took(self, lane: Lane) -> None:
        """A task of this lane of a fair queue was taken."""
        tenants = self._levels[lane.priority].tenants
        assert tenants is not None, "a fair queue without tenants"
        tenants.took(lane.tenant)

    def changed(self, tenant: str) -> None:
        """A tenant of a fair queue has more or less in flight."""
        for level in self._levels.values():
            if level.tenants is not None:
                level.tenants.changed(tenant)
