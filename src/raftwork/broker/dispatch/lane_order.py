"""Which of the lanes of one priority comes next. Sans-IO; each choice costs O(log n)."""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


#: Later than any place.
NEVER = 2**63
#: Entries of a heap that do not count any more, beside as many as there are that do: beyond, it is
#: made anew.
STALE_MAX = 64


class ByPlace:
    """Lanes by the places of their first tasks: who has waited longest comes first."""

    def __init__(self, first_place: Callable[[int], int | None]) -> None:
        """`first_place(lane)` is None if nothing waits in it."""
        self._first_place = first_place
        self._heap: list[tuple[int, int]] = []  # place and lane; also entries that do not count
        self._place: dict[int, int] = {}  # the entry of each lane that counts

    def add(self, lane: int, place: int) -> None:
        """A task waits in the lane at this place, or none before it."""
        known = self._place.get(lane)
        if known is None or place < known:
            self._place[lane] = place
            heappush(self._heap, (place, lane))
            if len(self._heap) > 2 * len(self._place) + STALE_MAX:
                self._heap = sorted((at, of) for of, at in self._place.items())

    def remove(self, lane: int) -> None:
        """It is none of these, until it is added again."""
        self._place.pop(lane, None)

    def first(self) -> tuple[int, int] | None:
        """The least place at which a task waits, and its lane."""
        heap = self._heap
        while heap:
            place, lane = heap[0]
            if self._place.get(lane) != place:
                heappop(heap)
            elif (now := self._first_place(lane)) is None:
                heappop(heap)
                del self._place[lane]
            elif now == place:
                return heap[0]
            else:
                self._place[lane] = now
                heapreplace(heap, (now, lane))
        return None

    @property
    def next_place(self) -> int:
        """A place before which no task waits but in the lane that `first` returned last."""
        return min([place for place, _ in self._heap[1:3]], default=NEVER)


class ByTenant:
    """Lanes by their tenants: the one with the least in flight for its weight, then by turns.

    The turns are stride scheduling: each hand-out moves a tenant's pass on by 1 / weight, and the
    least pass is next. Whoever comes begins at the current pass: to have been away earns nothing.
    """

    def __init__(
        self,
        first_place: Callable[[int], int | None],
        in_flight: Mapping[str, int],
        weights: Mapping[str, int],
    ) -> None:
        self._first_place = first_place
        self._in_flight = in_flight
        self._weights = weights
        self._lanes: dict[str, ByPlace] = {}
        self._passes: dict[str, float] = {}
        self._now = 0.0
        self._heap: list[tuple[float, float, str]] = []
        self._entry: dict[str, tuple[float, float, str]] = {}

    def add(self, lane: int, place: int, tenant: str) -> None:
        """As `ByPlace.add`."""
        lanes = self._lanes.get(tenant)
        if lanes is None:
            lanes = self._lanes[tenant] = ByPlace(self._first_place)
            self._passes[tenant] = self._now
            self.changed(tenant)
        lanes.add(lane, place)

    def remove(self, lane: int, tenant: str) -> None:
        """As `ByPlace.remove`."""
        if tenant in self._lanes:
            self._lanes[tenant].remove(lane)

    def changed(self, tenant: str) -> None:
        """It has more or less in flight."""
        if tenant not in self._lanes:
            return
        load = self._in_flight.get(tenant, 0) / self._weights.get(tenant, 1)
        entry = (load, self._passes[tenant], tenant)
        if self._entry.get(tenant) != entry:
            self._entry[tenant] = entry
            heappush(self._heap, entry)
            # Loads go up and down: what is out of date may never come to the top.
            if len(self._heap) > 2 * len(self._entry) + STALE_MAX:
                self._heap = sorted(self._entry.values())

    def took(self, tenant: str) -> None:
        """A task of it was handed out."""
        self._now = self._passes[tenant]
        self._passes[tenant] += 1 / self._weights.get(tenant, 1)
        self.changed(tenant)

    def first(self) -> tuple[int, int] | None:
        """The place and the lane of the task that comes next."""
        heap = self._heap
        while heap:
            tenant = heap[0][2]
            if self._entry.get(tenant) != heap[0]:
                heappop(heap)
            elif (first := self._lanes[tenant].first()) is not None:
                return first
            else:
                heappop(heap)
                del self._lanes[tenant], self._passes[tenant], self._entry[tenant]
        return None
