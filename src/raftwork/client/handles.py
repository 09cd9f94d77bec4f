"""The handles of one process whose tasks have no known outcome yet, found by their ids.

Rules of this file:
1. There is one live handle per id, held weakly: a dropped one costs nothing.
2. A handle is idle (nobody asked for its outcome) or watched (it was asked for). The first wait for
   any of them watches all that are idle, oldest first, up to a batch: waiting for a thousand
   results one by one then costs one round trip.
3. An outcome never changes, so it ends the handle's stay here. UNKNOWN is no outcome: it answers
   the waits that began before its question was sent, and the others ask again.
4. A weak reference may die anywhere, also while the lock is held: its callback takes no lock.
"""

import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from raftwork.messages import WATCH_IDS_MAX, Result, State


class Slot:
    """What a handle is to this registry: an id, an outcome once known, and who waits for it."""

    __slots__ = ("__weakref__", "asked_late", "id", "outcome", "waiters")

    def __init__(self, id: str) -> None:  # noqa: A002
        self.id = id
        self.outcome: Result | None = None
        self.waiters: list[Future[Result]] | None = None
        self.asked_late = False


class _Ref(weakref.ref[Slot]):
    __slots__ = ("id",)
    id: str


class Handles:
    """The registry. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: OrderedDict[str, _Ref] = OrderedDict()
        self._watched: dict[str, _Ref] = {}
        self._dropped: deque[_Ref] = deque()

    def find_or_add(self, ids: Iterable[str], make: Callable[[str], Slot]) -> list[Slot]:
        """The live handle of each id, or one made for it, idle."""
        dropped = self._dropped.append
        found = []
        with self._lock:
            for id in ids:  # noqa: A001
                ref = self._idle.get(id) or self._watched.get(id)
                slot = ref() if ref else None
                if slot is None:
                    slot = make(id)
                    ref = _Ref(slot, dropped)
                    ref.id = id
                    self._idle[id] = ref
                found.append(slot)
        return found

    def wait_for(self, slot: Slot) -> tuple["Future[Result]", list[str]]:
        """A future of the handle's outcome, and the ids to watch for that from now on."""
        waiter: Future[Result] = Future()
        with self._lock:
            if slot.outcome is not None:
                waiter.set_result(slot.outcome)
                return waiter, []
            if slot.waiters is None:
                slot.waiters = []
            slot.waiters.append(waiter)
            watched = self._watched.get(slot.id)
            slot.asked_late = watched is not None
            if watched is not None and watched() is slot:
                return waiter, []
            return waiter, self._watch_from(slot)  # else: as the one that was dropped, or anew

    def give_up(self, slot: Slot, waiter: "Future[Result]") -> None:
        """This wait is over, whatever came of it."""
        with self._lock:
            if slot.waiters and waiter in slot.waiters:
                slot.waiters.remove(waiter)

    def deliver(self, results: list[Result]) -> list[str]:
        """Outcomes that arrived; returns the ids to watch again."""
        again: list[str] = []
        woken: list[tuple[Future[Result], Result]] = []
        with self._lock:
            for result in results:
                ref = self._watched.get(result.id)
                slot = ref() if ref else None
                if slot is None:
                    continue
                if slot.asked_late and result.state is State.UNKNOWN:
                    slot.asked_late = False
                    again.append(slot.id)
                    continue
                del self._watched[result.id]
                if result.state is not State.UNKNOWN:
                    slot.outcome = result
                if slot.waiters:
                    woken += [(waiter, result) for waiter in slot.waiters]
                slot.waiters = None
        for waiter, result in woken:
            if waiter.set_running_or_notify_cancel():
                waiter.set_result(result)
        return again

    def sweep(self) -> list[str]:
        """Forget dropped handles; returns the ids that need no watch any more."""
        unwatched = []
        with self._lock:
            while self._dropped:
                ref = self._dropped.popleft()
                if self._idle.get(ref.id) is ref:
                    del self._idle[ref.id]
                elif self._watched.get(ref.id) is ref:
                    del self._watched[ref.id]
                    unwatched.append(ref.id)
        return unwatched

    def fail_all(self, error: Exception) -> None:
        """End every wait: no outcome will come any more over this connection."""
        with self._lock:
            slots = [slot for ref in self._watched.values() if (slot := ref())]
            woken = [waiter for slot in slots for waiter in slot.waiters or ()]
            for slot in slots:
                slot.waiters = None  # the handle may be waited for again, on another connection
            self._watched.clear()
        for waiter in woken:
            if waiter.set_running_or_notify_cancel():
                waiter.set_exception(error)

    def _watch_from(self, slot: Slot) -> list[str]:
        ref = self._idle.pop(slot.id, None)
        if ref is None:
            ref = _Ref(slot, self._dropped.append)
            ref.id = slot.id
        batch = [(slot.id, ref)]
        while self._idle and len(batch) < WATCH_IDS_MAX:
            batch.append(self._idle.popitem(last=False))
        self._watched.update(batch)
        return [id for id, _ in batch]  # noqa: A001
