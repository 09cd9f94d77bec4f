"""Tasks on their way to one worker, in order. Sans-IO.

What its connection has not taken is kept as tokens, not as data: the bodies are read from the
machine again when it takes more. So a worker that never reads costs the broker tokens, whatever the
size of its tasks.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.messages import PushedTask

#: Bytes of tasks that leave in one turn, about; further ones wait as tokens.
TURN_BYTES = 4 * 1024 * 1024


class PushOutbox:
    """What is handed out to a worker and not yet sent."""

    def __init__(self) -> None:
        self._ready: list[PushedTask] = []  # before all that is owed
        self._bytes = 0  # in _ready
        #: Tokens of what waits for a later turn.
        self.owed: deque[int] = deque()

    def add(self, task: PushedTask) -> None:
        """It was handed out just now."""
        if self.owed or self._bytes >= TURN_BYTES:
            self.owed.append(task.token)
        else:
            self._ready.append(task)
            self._bytes += len(task.payload)

    def hold(self) -> None:
        """Nothing can be sent now: keep no data."""
        self.owed.extendleft(task.token for task in reversed(self._ready))
        self._ready, self._bytes = [], 0

    def take(self, read: Callable[[int], PushedTask | None]) -> list[PushedTask]:
        """Remove and return what may leave in one turn; `read` returns None for an ended token."""
        tasks, size = self._ready, self._bytes
        self._ready, self._bytes = [], 0
        while self.owed and size < TURN_BYTES:
            task = read(self.owed.popleft())
            if task is not None:
                tasks.append(task)
                size += len(task.payload)
        return tasks
