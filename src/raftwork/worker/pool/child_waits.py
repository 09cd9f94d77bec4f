"""A child of the process pool whose task waits for other tasks: it tells the worker, and is told.

The worker hears of it by a packet beside the outcomes. While the task waits, its thread reads
nothing from the worker, so that a wait without hope is told through the shared memory, and another
thread looks there as long as the wait lasts.
"""

import socket
import time
from contextlib import suppress

from raftwork import native_threads
from raftwork.messages import Hopeless, Wait
from raftwork.wire import pack, unpack
from raftwork.worker.blocked_tasks import end_waits
from raftwork.worker.pool.channel import send
from raftwork.worker.pool.shared_slots import SharedSlots

#: Begins the packet that says what a child's task waits for now.
WAITS = b"waits"
#: Between two looks whether the wait is without hope, s.
_LOOK_S = 0.1


class ChildWaits:
    """The waits of one child's tasks; see `blocked_tasks.Slots`."""

    def __init__(self, end: socket.socket, slot: int, shared: SharedSlots) -> None:
        self._end, self._slot, self._shared = end, slot, shared
        self._watched: object = None  # this wait is; None: there is none

    def park(self, token: int) -> bool:
        """A task begins to wait. Whether its slot is lent the worker decides."""
        watched = self._watched = object()
        with suppress(RuntimeError):  # no thread can be started: a wait without hope lasts
            native_threads.start(lambda: self._watch(token, watched))
        return True

    def resume(self, token: int) -> None:  # noqa: ARG002
        """It waits no more."""
        self._watched = None

    async def next_slot(self, token: int) -> None:
        """As `resume`: there are processes enough for those that wait no more."""
        self.resume(token)

    def changed(self, wait: Wait) -> None:
        """What it waits for is another thing now."""
        with suppress(OSError):  # the worker is gone: so will this process be
            send(self._end, WAITS + pack(tuple(wait)))

    def _watch(self, token: int, watched: object) -> None:
        while self._watched is watched:
            if (found := self._shared.hopeless(self._slot)) is not None:
                end_waits([Hopeless(token, *found)])
            time.sleep(_LOOK_S)


def decode_wait(packet: bytes) -> Wait:
    """What a packet that begins with WAITS says."""
    fields = unpack(packet[len(WAITS) :])
    assert isinstance(fields, list)
    return Wait(*fields)
