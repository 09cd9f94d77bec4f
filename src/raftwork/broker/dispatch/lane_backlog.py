"""The tasks that wait in one lane, by their places. Sans-IO."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from raftwork.features.limit_settings import gates_named

if TYPE_CHECKING:
    from collections.abc import Collection

    from raftwork.broker.machine import Machine, Waiting
    from raftwork.broker.machine.lanes import Lane
    from raftwork.features.effects import Replaced
    from raftwork.features.limit_settings import GateName

#: A lane's page in memory. There may be ten thousands of lanes: the first page has one task, and
#: each further one twice as many, up to these.
PAGE_TASKS = 64
PAGE_BYTES = 64 * 1024
#: Places of tasks that came (again) and are not read yet.
PLACES_MAX = 1_000


class LaneBacklog:
    """One lane's waiting tasks in order: some of its head in memory, the rest in the table.

    As with `Backlog`, every place up to `_passed` at which a task waits is in `_front` or `_page`,
    or the task was taken.
    """

    def __init__(
        self,
        number: int,
        lane: Lane,
        machine: Machine,
        ended: Collection[int],
        *,
        first: int | None,
    ) -> None:
        """`first` is a place before which nothing waits in the table.

        None if all that waits there was taken before: no place up to now is read again.

        `ended` are tasks that may be in memory and wait no more.
        """
        self.lane = lane
        #: What its tasks pass through, besides the queue's own gate.
        self.gates = gates_named(lane.gates)
        #: The gate that it stands at; None while it may have its turn.
        self.stands_at: GateName | None = None
        self._number = number
        self._ended = ended
        self._machine = machine
        self._front: list[int] = []  # places that are waited at and not read, a heap
        self._page: deque[Waiting] = deque()
        self._page_tasks = 1
        self._passed = machine.state.seq if first is None else first - 1
        self._more = first is not None  # the table may have places above _passed

    def came(self, place: int) -> None:
        """A task waits at this place (again)."""
        if place > self._passed:
            if self._more:
                return
            if len(self._front) >= PLACES_MAX:
                self._more = True
                return
            self._passed = place
        heappush(self._front, place)

    def replaced(self, effect: Replaced) -> None:
        """A task has other arguments: where it was read already, these stand in their place."""
        for at, task in enumerate(self._page):
            if task.seq == effect.seq:
                self._page[at] = task._replace(payload=effect.payload)

    def forget_ended(self) -> None:
        """Drop from memory the tasks that ended."""
        self._page = deque(task for task in self._page if task.seq not in self._ended)

    @property
    def bound(self) -> int:
        """A place before which nothing waits, found without reading."""
        if self._page:
            first = self._page[0].place
        elif self._more:
            first = self._passed + 1
        else:
            return self._front[0] if self._front else self._passed
        return min(first, self._front[0]) if self._front else first

    def head(self) -> Waiting | None:
        """The first task; None if none waits."""
        while True:
            while self._front and (not self._page or self._front[0] < self._page[0].place):
                self._read_front()
            if self._more and not self._page:
                self._read_page()
            if not self._page:
                if self._front or self._more:
                    continue
                return None
            if self._page[0].seq not in self._ended:
                return self._page[0]
            self._page.popleft()

    def pop(self) -> None:
        """Take the first task, which is `head`."""
        self._page.popleft()

    def _read_front(self) -> None:
        places: list[int] = []
        front, page = self._front, self._page
        while front and len(places) < PAGE_TASKS and (not page or front[0] < page[0].place):
            places.append(heappop(front))
        page.extendleft(reversed(self._machine.at_places(self._number, places)))

    def _read_page(self) -> None:
        tasks = self._machine.in_lane(self._number, self._passed, self._page_tasks, PAGE_BYTES)
        self._page_tasks = min(2 * self._page_tasks, PAGE_TASKS)
        self._page.extend(tasks)
        if tasks:
            self._passed = tasks[-1].place
        else:
            self._more = False
