"""The process that answers HTTP for a worker (raftwork.web.worker_server).

The worker's loop serves no HTTP. Once a second it says what it is, into the standard input of this
process, which ends with it. What does not fit there is dropped: nobody reads slowly at our cost.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from socket import MSG_DONTWAIT
from typing import TYPE_CHECKING, Final

from raftwork.net.tended_child import TendedChild
from raftwork.worker.own_facts import worker_facts
from raftwork.worker.pool.channel import pair, send

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from raftwork.worker.agent import Agent
    from raftwork.worker.own_facts import OwnFacts
    from raftwork.worker.pool import Pool
    from raftwork.worker.runner import Ended

#: Between two tellings, ms.
EVERY_MS: Final = 1_000


class HttpChild:
    """Of one worker. Times are monotonic ms."""

    def __init__(
        self,
        listen: str,
        facts: OwnFacts,
        failed: Callable[[str], None],
        spawn: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
    ) -> None:
        """It answers at `listen`; `failed(why)` is told when it does not run."""
        self._listen, self._facts, self._spawn = listen, facts, spawn
        self._child = TendedChild(self._start, failed)
        self._end: socket.socket | None = None
        #: When `tend` is due.
        self.due_at = 0

    def ended(self, ends: Sequence[Ended], agent: Agent) -> None:
        """The code of these tasks, which the agent still holds, is over."""
        self._facts.ended(ends, agent.spec)

    def tend(self, agent: Agent, pool: Pool, now: int) -> None:
        """See that it runs, and tell it what there is. Never raises."""
        self.due_at = now + EVERY_MS
        self._child.tend(now)
        if self._end is not None:
            with suppress(OSError):  # it does not read, or is gone: `tend` sees to that
                send(self._end, worker_facts.encode(self._facts.facts(agent, pool)), MSG_DONTWAIT)

    def close(self) -> None:
        """End it."""
        self._child.close()
        self._let_go()

    def _start(self) -> subprocess.Popen[bytes]:
        self._let_go()
        self._end, far = pair()
        # Not what lies in the directory that the worker was started in: -P.
        command = [sys.executable, "-P", "-m", "raftwork.web.worker_server", self._listen]
        with far:
            # A Ctrl-C is for the worker, which drains, and is looked at meanwhile.
            return self._spawn(
                command, stdin=far, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
            )

    def _let_go(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            end.close()
