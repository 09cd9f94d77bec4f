"""Pools run tasks' code: in child processes, in threads or as coroutines.

A pool owns every task it was given until it ends: those that wait (in order) and those that run.
Time limits and outcomes are the agent's business: a pool stops code when it is told to, and says
what runs since when.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from raftwork.features.checkpoints import Verdict
from raftwork.messages import Hopeless, Outcome, PushedTask, Wait
from raftwork.worker.runner import Ended
from raftwork.worker.task_lines import NewLines, Read
from raftwork.worker.task_notes import Asked, Said


class Running(NamedTuple):
    """A task with running code. `since` is in milliseconds on the monotonic clock."""

    token: int
    since: int
    #: It waits for the outcome of another task, and holds its slot all the same.
    waits: bool = False


class TaskNotes(Protocol):
    """What a pool's tasks say of themselves (task_notes.py), and what is answered."""

    def said(self) -> Sequence[Said]:
        """What tasks said last of their progress; some of them may have ended."""
        ...

    def asked(self) -> Sequence[Asked]:
        """The checkpoints that they left since the last call."""
        ...

    def answer(self, token: int, number: int, verdict: Verdict) -> None:
        """That is what became of a checkpoint."""
        ...

    def lines(self, token: int, read: Read) -> NewLines | None:
        """See LogSource."""
        ...

    def with_last_lines(self, outcome: Outcome) -> Outcome:
        """A failure that the worker itself made, as the code ran too long, with what it logged."""
        ...


class Pool(Protocol):
    """What the worker asks of a pool. Every method is called from one thread and returns soon."""

    @property
    def notes(self) -> TaskNotes:
        """What its tasks say of themselves."""
        ...

    @property
    def slots(self) -> int:
        """How many tasks can run at once; 0 while none can.

        Fewer while code that cannot be stopped holds a slot, or the process of one does not start.
        Tasks that are parked are not among them.
        """
        ...

    @property
    def wakers(self) -> Sequence[int]:
        """File descriptors that become readable when `collect` has something."""
        ...

    def start(self, tasks: Collection[PushedTask]) -> None:
        """Take these tasks, to be started in this order."""
        ...

    def collect(self) -> list[Ended]:
        """The tasks that ended since the last call. A process that died under a task is a loss."""
        ...

    def running(self) -> list[Running]:
        """The tasks with running code."""
        ...

    def waiting(self) -> Collection[Wait]:
        """The tasks that wait for others; the parked ones hold no slot meanwhile."""
        ...

    def end_waits(self, hopeless: Collection[Hopeless]) -> None:
        """End these waits with an error, unless they are over."""
        ...

    def withdraw(self) -> list[PushedTask]:
        """Return, in order, the tasks that have not begun; they never will."""
        ...

    def cancel(self, tokens: Collection[int]) -> list[PushedTask]:
        """Ask the code of these to end. Returns those that have not begun; they never will.

        Coroutines are cancelled, other code finds it by `current()`. A token is named only once.
        """
        ...

    def drain(self) -> None:
        """Nothing new will come: the code that runs finds it by `current().stopping`."""
        ...

    def stop(self, tokens: Collection[int]) -> None:
        """Forget these if they wait; stop their code if it runs. Their end may yet be collected."""
        ...

    def close(self) -> None:
        """Stop everything."""
        ...
