"""Outcomes on their way to the sessions that watch them. Sans-IO.

An outcome never changes, so what a slow reader has not taken is kept as ids (see Outbox).
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from raftwork.broker.access.gate import allows
from raftwork.broker.outbox import Outbox
from raftwork.broker.requests.confinement import hidden, unknown
from raftwork.broker.split_by_size import split_by_size
from raftwork.errors import QueueFull
from raftwork.features.results import Results
from raftwork.messages import Result, State
from raftwork.wire import maker

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator

    from raftwork.broker.access.access_list import Grant
    from raftwork.broker.machine import Machine
    from raftwork.features.effects import Settled

#: Ids one session may watch at a time, and all sessions together.
WATCHES_PER_SESSION = 200_000
WATCHES_MAX = 2_000_000
#: Bytes of results in one frame, and read at once.
RESULTS_BYTES = 1024 * 1024
#: Ids read at once.
PAGE = 1_000
_result = maker(Result)


class ResultOutbox:
    """Which session watches which task, and the outcomes due to each."""

    def __init__(self, machine: Machine, writable: Callable[[bytes], bool]) -> None:
        """`writable(routing)` is whether a session's connection takes more now."""
        self._machine = machine
        self._writable = writable
        # Ordered, unlike sets of bytes: the order of frames must not depend on a process's hashes.
        self._watchers: dict[str, dict[bytes, None]] = {}
        self._watched: dict[bytes, set[str]] = defaultdict(set)
        #: What the keys are for of sessions that may know of some queues only.
        self._confined: dict[bytes, Grant] = {}
        #: Of the sessions to which something is due.
        self._outboxes: dict[bytes, Outbox[str, Result]] = defaultdict(_results)

    @property
    def watches(self) -> int:
        """Tasks that are watched."""
        return len(self._watchers)

    def check_room(self, routing: bytes, ids: list[str]) -> None:
        """Raise QueueFull unless this session may watch these, too."""
        mine = self._watched.get(routing, ())
        new = sum(id_ not in mine for id_ in ids)
        held = len(mine) + (len(self._outboxes[routing].owed) if routing in self._outboxes else 0)
        for whose, count, most in (
            ("this client watches", held, WATCHES_PER_SESSION),
            ("all clients watch", len(self._watchers), WATCHES_MAX),
        ):
            if count + new > most:
                raise QueueFull(
                    f"no room to watch {new} more results: {whose} {count} of at most {most}"
                )

    def confine(self, routing: bytes, grant: Grant) -> None:
        """This session may know of some queues only."""
        self._confined[routing] = grant

    def watch(self, routing: bytes, id_: str) -> None:
        """Tell this session the outcome once there is one."""
        self._watchers.setdefault(id_, {})[routing] = None
        self._watched[routing].add(id_)

    def tell(self, routing: bytes, id_: str) -> None:
        """Tell this session now: there is an outcome."""
        self._unwatch(id_, routing)
        self._outboxes[routing].owed.append(id_)

    def unknown(self, routing: bytes, id_: str) -> None:
        """Behind a barrier this id was not enqueued: tell this session, if it still watches it."""
        if id_ in self._watched.get(routing, ()):
            self.tell(routing, id_)

    def settled(self, effect: Settled) -> None:
        """A task has its outcome."""
        watchers = self._watchers.pop(effect.id, None)
        if watchers is None:
            return
        result = _result((effect.id, effect.state, effect.data, False))
        for routing in watchers:
            self._forget(routing, effect.id)
            grant = self._confined.get(routing) if self._confined else None
            known = grant is None or self._knows(grant, effect)
            self._outboxes[routing].add(result if known else unknown(effect.id))

    def _knows(self, grant: Grant, effect: Settled) -> bool:
        if effect.queue:
            return allows(grant.queues, effect.queue)
        return not hidden(self._machine.state, [effect.id], grant)  # a flow

    def gone(self, routing: bytes) -> None:
        """The session is closed: it watches nothing any more."""
        for id_ in list(self._watched.get(routing, ())):
            self._unwatch(id_, routing)
        self._watched.pop(routing, None)
        self._confined.pop(routing, None)
        self._outboxes.pop(routing, None)

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
        """Whether something is due that a connection has not taken."""
        return bool(self._outboxes)

    def frames(self) -> Iterator[tuple[bytes, Results]]:
        """What the connections take now, drained."""
        for routing, outbox in list(self._outboxes.items()):
            if not self._writable(routing):
                outbox.hold()
                continue
            results = outbox.take(partial(self._read, routing))
            if not outbox.owed:
                del self._outboxes[routing]
            for part in split_by_size(results, _size, RESULTS_BYTES):
                yield routing, Results(part)

    def _read(self, routing: bytes, owed: deque[str]) -> Iterator[Result]:
        ids = list(islice(owed, PAGE))
        grant = self._confined.get(routing) if self._confined else None
        out = () if grant is None else hidden(self._machine.state, ids, grant)
        for result in self._machine.outcomes(ids, RESULTS_BYTES):
            owed.popleft()
            if result.id in out:
                yield unknown(result.id)
            elif result.state.final or result.state is State.UNKNOWN:
                yield result
            else:
                self.watch(routing, result.id)  # it came in while its "unknown" waited


def _results() -> Outbox[str, Result]:
    return Outbox(lambda result: result.id, _size)


def _size(result: Result) -> int:
    return len(result.data) + 64
