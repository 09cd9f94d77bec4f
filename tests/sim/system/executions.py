"""What must be true of code that runs: once under a token, and only where that was assigned."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raftwork.broker.machine.commands import Release
from tests.sim.system.promises import require

if TYPE_CHECKING:
    from tests.sim.system.queue_checker import QueueChecker


@dataclass(slots=True)
class Run:
    """Code that began under a token."""

    id: str
    worker: bytes
    at: int
    ok: bool | None = None
    data: bytes = b""


class Executions:
    """Fed by the workers."""

    def __init__(self, queue: "QueueChecker") -> None:
        self._queue = queue
        #: By token.
        self.runs: dict[int, Run] = {}
        #: How often the code of each task began.
        self.counts: Counter[str] = Counter()
        #: Tokens handed back with the promise that their code never began.
        self.released: set[int] = set()
        #: What workers said of tokens whose task they have no code for, and whose process died.
        self.unknown: dict[int, bytes] = {}
        self.died: set[int] = set()
        #: What each worker's process was begun with: its queues, and the names it has no code for.
        self.codes: dict[bytes, tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def began(self, token: int, task: str, worker: bytes, now: int) -> None:
        """A worker starts the code of a task."""
        require(token not in self.runs, "a token runs once", f"{token} of {task} runs again")
        require(token not in self.released, "released unstarted", f"{token} was handed back")
        owner = self._queue.tokens.get(token)
        mine = owner is not None and (owner[0].id, owner[1]) == (task, worker)
        require(mine, "committed before pushed", f"{token} of {task} runs where it is not assigned")
        assert owner is not None
        self.runs[token] = Run(task, worker, now)
        self.counts[task] += 1
        if owner[0].spec.at_most_once:
            once = self.counts[task] == 1
            require(once, "at most once", f"{task} runs for the {self.counts[task]}th time")

    def ended(self, token: int, *, ok: bool, data: bytes) -> None:
        run = self.runs[token]
        run.ok, run.data = ok, data

    def handed_back(self, command: Release) -> None:
        for token in command.tokens:
            require(token not in self.runs, "released unstarted", f"the code of {token} ran")
            self.released.add(token)
            self._queue.limits.unstarted(token)
            self._queue.reached["handed back unstarted"] += 1
            self._queue.reached["an unknown task went elsewhere"] += token in self.unknown
