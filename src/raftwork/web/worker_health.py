"""What `/livez` and `/readyz` answer for a worker, by what it says of itself. Sans-IO.

Alive is one whose loop turns, with a leader or without: whoever restarts workers for want of one
only adds to the trouble. Ready is one that a leader has taken on and that can run a task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raftwork.web.health import ALIVE_MS, Check

if TYPE_CHECKING:
    from raftwork.worker.own_facts import WorkerFacts


@dataclass(slots=True)
class WorkerHealth:
    """Of one worker. Times are monotonic ms."""

    began: int
    #: What it said last, and when.
    facts: WorkerFacts | None = None
    heard: int | None = None

    def told(self, facts: WorkerFacts, now: int) -> None:
        """It says this of itself."""
        self.facts, self.heard = facts, now

    def alive(self, now: int) -> list[Check]:
        """Whether its loop turns. One that has just been started has its time, too."""
        silent = now - (self.began if self.heard is None else self.heard)
        why = "" if silent <= ALIVE_MS else f"it has said nothing for {silent // 1_000} s"
        return [Check("loop", why)]

    def ready(self, now: int) -> list[Check]:
        """Each thing that it takes."""
        facts = self.facts
        if facts is None:
            return [*self.alive(now), Check("leader", "it has said nothing yet")]
        return [
            *self.alive(now),
            Check("leader", "" if facts.leader else "it has no session with an active leader"),
            Check("slots", "" if facts.slots else "it has no slot that could run a task"),
            Check("draining", "it takes nothing new any more" if facts.draining else ""),
        ]
