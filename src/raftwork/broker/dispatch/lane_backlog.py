"""The tasks that wait in one lane, by their places. Sans-IO."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from raftwork.broker.workers.worker import needs_free_slot
from raftwork.features.limit_settings import gates_named

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from raftwork.broker.machine import Machine, Waiting
    from raftwork.broker.machine.lanes import Lane
    from raftwork.features.effects import Replaced
    from raftwork.features.limit_settings import GateName

#: A lane's page in memory. There may be ten thousands of lanes of tenants, keys and workers: the
#: first page of such a one has few tasks, and each further one twice as many, up to these.
FIRST_PAGE_TASKS = 4
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
        one_of_many = lane.tenant or lane.gates or lane.worker
        self._page_tasks = FIRST_PAGE_TASKS if one_of_many else PAGE_TASKS
        #: Places to be passed over when they are read: Assigns of their tasks are on the way.
        self._taken: set[int] = set()
        self._passed = machine.state.seq if first is None else first - 1
        self._more = first is not None  # the table may have places above _passed

    def queued(self, places: Sequence[int]) -> None:
        """Tasks wait at these places, one behind the other, for the first time."""
        if places[0] > self._passed:
            self._more = True
        else:
            for place in places:
                self.came(place)

    def pass_over(self, places: Iterable[int]) -> None:
        """Tasks that wait at these were taken, unless `came` says that they wait still."""
        self._taken.update(places)

    def came(self, place: int) -> None:
        """A task waits at this place (again)."""
        self._taken.discard(place)
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

    def take(self, count: int, size: int, *, safe: bool, until: int) -> list[Waiting]:
        """As `Backlog.take`, up to the place `until`."""
        taken: list[Waiting] = []
        while len(taken) < count and size > 0 and self.head() is not None:
            # As long as nothing came back that stands before it, the page is in order.
            page, ended = self._page, self._ended
            upto = min(until, self._front[0]) if self._front else until
            if page[0].place > upto:
                break
            while page and len(taken) < count and size > 0:
                task = page[0]
                if task.place > upto or task.seq in ended:
                    break
                if safe and needs_free_slot(task):
                    return taken
                page.popleft()
                size -= len(task.payload)
                taken.append(task)
        return taken

    def _read_front(self) -> None:
        places: list[int] = []
        front, page = self._front, self._page
        while front and len(places) < PAGE_TASKS and (not page or front[0] < page[0].place):
            places.append(heappop(front))
        tasks = self._machine.at_places(self._number, places)
        page.extendleft(reversed(self._untaken(tasks)))

    def _read_page(self) -> None:
        most = self._page_tasks
        tasks = self._machine.in_lane(self._number, self._passed, most, PAGE_BYTES)
        self._page_tasks = min(2 * most, PAGE_TASKS)
        if tasks:
            self._passed = tasks[-1].place
        if len(tasks) < most:  # unless it is as many bytes as a page has
            self._more = sum([len(task.payload) for task in tasks]) >= PAGE_BYTES
        self._page.extend(self._untaken(tasks))

    def _untaken(self, tasks: list[Waiting]) -> list[Waiting]:
        if not self._taken:
            return tasks
        found = [task for task in tasks if task.place not in self._taken]
        self._taken.difference_update([task.place for task in tasks])
        return found
