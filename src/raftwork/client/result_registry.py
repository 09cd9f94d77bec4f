"""The handles of one process whose tasks have no known outcome yet, found by their ids.

Rules of this file:
1. A handle is held weakly: a dropped one costs nothing.
2. A handle is idle (its outcome was not asked for) or watched (it was). The first wait for any of
   them watches all that are idle, oldest first, up to a batch: to wait for a thousand results one
   by one then costs one round trip.
3. An outcome never changes, so it ends the handle's stay here. UNKNOWN is no outcome: it answers
   the waits that began before its question was sent, and the others ask again.
4. No locks (`threads.py` says why). Callers only append: to what is new, and to a handle's waiters.
   All else belongs to the client's thread. A caller first appends its wait and then looks whether
   the handle is watched, or has its outcome; the thread first says which and then takes the waits.
   So one of the two sees the other.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TypeVar
from weakref import ref

from raftwork.client.reply import Reply, tell_all
from raftwork.messages import WATCH_IDS_MAX, Result, State

#: Calls with new handles, beyond which the thread is woken to look at them.
_NEW_MAX = 1_000


class Slot:
    """What a handle is to this registry: an id, an outcome once known, and the waits for it."""

    __slots__ = ("__weakref__", "id", "outcome", "ref", "waiters", "watched_by")

    def __init__(self, task: str) -> None:
        self.id = task
        self.outcome: Result | None = None
        self.waiters: list[Reply[Result]] = []
        self.watched_by: Handles | None = None
        self.ref: _Ref | None = None

    def give_up(self, waiter: Reply[Result]) -> bool:
        """This wait is over; False if the client's thread has it in hand."""
        try:
            self.waiters.remove(waiter)
        except ValueError:
            return False
        return True


S = TypeVar("S", bound=Slot)


class _Ref(ref[Slot]):
    __slots__ = ("id",)
    id: str
    # Two handles of one task are equal, these are not.
    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Handles:
    """The registry of one connection."""

    def __init__(self) -> None:
        self._new: deque[list[_Ref]] = deque()
        self._idle: dict[_Ref, None] = {}
        self._watched: dict[str, list[_Ref]] = {}
        self._dropped: deque[_Ref] = deque()
        #: A guess from the last tasks: whether the next one's outcome will be waited for, so that
        #: its watch should travel with its enqueue.
        self.awaited = False

    # ---- for callers --------------------------------------------------------------------------

    def add(self, ids: Iterable[str], make: Callable[[str], S]) -> list[S]:
        """A new handle of each id, idle."""
        slots = [make(task) for task in ids]
        self._new.append(list(map(self._refer, slots)))
        return slots

    @property
    def crowded(self) -> bool:
        """Whether the client's thread should look at new handles, lest they pile up."""
        return len(self._new) >= _NEW_MAX

    def wait_for(self, slot: Slot) -> tuple[Reply[Result], bool]:
        """A reply for the handle's outcome, and whether a watch must be started."""
        waiter: Reply[Result] = Reply()
        waiter.late = slot.watched_by is self
        slot.waiters.append(waiter)
        if slot.outcome is not None and slot.give_up(waiter):
            waiter.tell(slot.outcome)
        return waiter, slot.outcome is None and slot.watched_by is not self

    # ---- for the client's thread --------------------------------------------------------------

    @property
    def littered(self) -> bool:
        """Whether to sweep: a watch may be needless, or what is new or dropped piles up."""
        if not self._dropped:
            return self.crowded
        return bool(self._watched) or len(self._dropped) >= _NEW_MAX

    def watch(self, slot: Slot) -> list[str]:
        """The ids to watch from now on, now that this handle's outcome is wanted."""
        if slot.watched_by is self or slot.outcome is not None:
            return []
        self.awaited = True
        self._absorb()
        mine = slot.ref
        if mine is None or mine not in self._idle:
            mine = self._refer(slot)
        self._idle.pop(mine, None)
        oldest = list(islice(self._idle, WATCH_IDS_MAX - 1))
        if len(oldest) == len(self._idle):
            self._idle.clear()
        for each in oldest if self._idle else ():
            del self._idle[each]
        return list(self._begin([mine, *oldest]))

    def stand(self, slot: Slot) -> None:
        """The watch of this new handle's outcome came with its enqueue."""
        self._begin([self._refer(slot)])

    def deliver(self, results: Sequence[Result]) -> list[str]:
        """Outcomes that arrived; returns the ids to watch again."""
        again: list[str] = []
        ended: list[tuple[Reply[Result], Result, None]] = []
        for result in results:
            refs = self._watched.pop(result.id, ())
            if result.state is State.UNKNOWN:
                asking = [found for found in refs if self._unknown(found, result)]
                if asking:
                    self._watched[result.id] = asking
                    again.append(result.id)
                continue
            for found in refs:
                if (slot := found()) is None:
                    self.awaited = False
                    continue
                slot.outcome = result
                slot.ref = None  # over: its death need not be told
                if slot.waiters:
                    ended.extend((waiter, result, None) for waiter in _taken(slot))
                else:
                    self.awaited = False
        tell_all(ended)
        return again

    def sweep(self) -> list[str]:
        """Forget dropped handles; returns the ids that need no watch any more."""
        self._absorb()
        unwatched = []
        while self._dropped:
            gone = self._dropped.popleft()
            if gone in self._idle:
                del self._idle[gone]
                continue
            task = getattr(gone, "id", "")  # none, if its making was interrupted
            if gone in (left := self._watched.get(task, [])):
                self.awaited = False
                left.remove(gone)
                if not left:
                    del self._watched[task]
                    unwatched.append(task)
        return unwatched

    def fail_all(self, error: Exception) -> None:
        """End every wait: no outcome will come any more."""
        for refs in self._watched.values():
            for slot in filter(None, [found() for found in refs]):
                slot.watched_by = None
                for waiter in _taken(slot):
                    waiter.fail(error)
        self._watched.clear()

    def _refer(self, slot: Slot) -> _Ref:
        # It may die anywhere, in any thread: to append takes no lock.
        made = slot.ref = _Ref(slot, self._dropped.append)
        made.id = slot.id
        return made

    def _absorb(self) -> None:
        while self._new:
            self._idle.update(dict.fromkeys(self._new.popleft()))

    def _begin(self, batch: list[_Ref]) -> dict[str, None]:
        """From now on these are watched; the ids of those that were not dropped meanwhile."""
        ids: dict[str, None] = {}
        for found in batch:
            slot = found()
            if slot is None:
                continue
            id = found.id  # noqa: A001
            ids[id] = None
            slot.watched_by = self
            if id not in self._watched:
                self._watched[id] = [found]
                continue
            self._watched[id].append(found)
            for waiter in list(slot.waiters):
                waiter.late = True  # what is out may have been asked before this wait began
        return ids

    def _unknown(self, found: _Ref, result: Result) -> bool:
        """Tell the waits that began before the question; whether others have to ask again."""
        slot = found()
        if slot is None:
            return False
        slot.watched_by = None
        late = []
        for waiter in _taken(slot):
            if waiter.late:
                waiter.late = False
                late.append(waiter)
            else:
                waiter.tell(result)
        if late:
            slot.watched_by = self
            slot.waiters.extend(late)
        return bool(late)


def _taken(slot: Slot) -> list[Reply[Result]]:
    """All waits, one by one: another may be appended meanwhile."""
    taken = []
    while slot.waiters:
        try:
            taken.append(slot.waiters.pop(0))
        except IndexError:  # the last one was given up
            break
    return taken
