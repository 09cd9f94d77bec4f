"""Outcomes on their way to the sessions that watch them. Sans-IO.

What a slow reader has not taken is kept as ids, not as data: an outcome never changes, so it is
read from the machine again when its connection has room. So a client that never reads costs the
broker its ids, whatever the size of the results it asked for.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

from raftwork.broker.splitting import parts
from raftwork.errors import QueueFull
from raftwork.features.results import Results
from raftwork.messages import Result, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from raftwork.broker.machine import Machine
    from raftwork.features.effects import Settled

#: Ids one session may watch at a time, and all sessions together.
WATCHES_PER_SESSION = 200_000
WATCHES_MAX = 2_000_000
#: Bytes of results in one frame, and bytes read for one session in one turn.
RESULTS_BYTES = 1024 * 1024
TURN_BYTES = 4 * RESULTS_BYTES
#: Ids read at once.
PAGE = 1_000


class ResultOutbox:
    """Who watches what, and what is due to whom."""

    def __init__(self, machine: Machine, writable: Callable[[bytes], bool]) -> None:
        """`room(routing)` tells whether a session's connection takes more now."""
        self._machine = machine
        self._writable = writable
        # Ordered, unlike sets of bytes: who is told first must not depend on a process's hashes.
        self._watchers: dict[str, dict[bytes, None]] = {}
        self._watched: dict[bytes, set[str]] = defaultdict(set)
        self._fresh: dict[bytes, list[Result]] = {}
        self._fresh_bytes: dict[bytes, int] = {}
        self._due: dict[bytes, deque[str]] = {}

    def check_room(self, routing: bytes, ids: list[str]) -> None:
        """Raise QueueFull unless this session may watch these, too."""
        mine = self._watched.get(routing, ())
        new = sum(id_ not in mine for id_ in ids)
        held = len(mine) + len(self._due.get(routing, ()))
        for whose, count, most in (
            ("this client", held, WATCHES_PER_SESSION),
            ("all clients", len(self._watchers), WATCHES_MAX),
        ):
            if count + new > most:
                raise QueueFull(
                    f"no room to wait for {new} more results: {whose} waits for {count}, {most} "
                    "may be"
                )

    def watch(self, routing: bytes, id_: str) -> None:
        """Tell this session the outcome once there is one."""
        self._watchers.setdefault(id_, {})[routing] = None
        self._watched[routing].add(id_)

    def tell(self, routing: bytes, id_: str) -> None:
        """Tell this session now: there is an outcome."""
        self._unwatch(id_, routing)
        self._due.setdefault(routing, deque()).append(id_)

    def unknown(self, routing: bytes, id_: str) -> None:
        """Behind a barrier nobody has enqueued this id: whoever still watches it is told."""
        if id_ in self._watched.get(routing, ()):
            self.tell(routing, id_)

    def settled(self, effect: Settled) -> None:
        """A task has its outcome."""
        watchers = self._watchers.pop(effect.id, None)
        if watchers is None:
            return
        result = Result(effect.id, effect.state, effect.data)
        for routing in watchers:
            self._forget(routing, effect.id)
            size = self._fresh_bytes.get(routing, 0) + len(effect.data)
            if routing in self._due or size > TURN_BYTES:
                self._due.setdefault(routing, deque()).append(effect.id)
            else:
                self._fresh.setdefault(routing, []).append(result)
                self._fresh_bytes[routing] = size

    def gone(self, routing: bytes) -> None:
        """The session is closed: nobody is there to be told."""
        for id_ in list(self._watched.get(routing, ())):
            self._unwatch(id_, routing)
        for table in (self._watched, self._fresh, self._fresh_bytes, self._due):
            table.pop(routing, None)

    def _unwatch(self, id_: str, routing: bytes) -> None:
        self._forget(routing, id_)
        watchers = self._watchers.get(id_)
        if watchers is not None:
            watchers.pop(routing, None)
            if not watchers:
                del self._watchers[id_]

    def _forget(self, routing: bytes, id_: str) -> None:
        mine = self._watched.get(routing)
        if mine is not None:
            mine.discard(id_)
            if not mine:
                del self._watched[routing]

    @property
    def waiting(self) -> bool:
        """Whether something is due that a connection had no room for."""
        return bool(self._due)

    def frames(self) -> Iterator[tuple[bytes, Results]]:
        """What the connections take now, drained."""
        fresh, self._fresh = self._fresh, {}
        self._fresh_bytes.clear()
        for routing, results in fresh.items():
            if self._writable(routing):
                for part in parts(results, _size, RESULTS_BYTES):
                    yield routing, Results(part)
            else:
                due = self._due.setdefault(routing, deque())
                due.extend(result.id for result in results)
        for routing in list(self._due):
            yield from self._read(routing, self._due[routing])

    def _read(self, routing: bytes, due: deque[str]) -> Iterator[tuple[bytes, Results]]:
        left = TURN_BYTES
        while due and left > 0 and self._writable(routing):
            page = [due[i] for i in range(min(PAGE, len(due)))]
            results = self._machine.outcomes(page, RESULTS_BYTES)
            told: list[Result] = []
            for result in results:
                due.popleft()
                left -= _size(result)
                if result.state.final or result.state is State.UNKNOWN:
                    told.append(result)
                else:
                    self.watch(routing, result.id)  # it came in while its "unknown" waited
            if told:
                yield routing, Results(told)
        if not due:
            del self._due[routing]


def _size(result: Result) -> int:
    return len(result.data) + 64
