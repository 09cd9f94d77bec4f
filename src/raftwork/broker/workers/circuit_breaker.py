"""Whether a worker can be trusted with tasks: one that keeps failing rests. Sans-IO.

1. What counts is its own failure: a task lost under it, if that was the task's first loss (what was
   lost before may do it by itself), and a task of a name that it does not know and others may.
   A task that raised is neither good nor bad, nor is one that was handed back.
2. After FAILURES in a row it gets nothing for a pause; then one task on trial, and another one when
   that has ended, or has run for as long as the pause was. One success, and it is well.
3. Pauses double, but not for a worker that has proved itself: a batch of tasks that kill must not
   take good workers away. It did so by a success, until a task that was lost under it is done by
   another one. The other way round: a task that is lost again, under another one that has proved
   itself, was no failure of the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

#: So many in a row, and it rests.
FAILURES = 3
#: The first pause and the longest one, ms; up to a quarter is added, so that not all come at once.
PAUSE_MS, PAUSE_MAX_MS = 1_000, 30_000
#: No limit.
MANY = 1 << 30


@dataclass(slots=True)
class CircuitBreaker:
    """One worker's circuit breaker. Times are ms on the leader's monotonic clock."""

    lost: int = 0  # in a row, as are the unknown
    unknown: int = 0
    trusted: bool = False
    pause: int = 0  # 0: it is well
    due: int = 0  # when it may be given one task more
    allowance: int = MANY  # tasks it may be given now
    probed: bool = False  # it was given one since its pause began

    @property
    def is_open(self) -> bool:
        """It rests, or is on trial."""
        return self.pause > 0

    def took(self, count: int) -> None:
        """It was given so many tasks."""
        if self.is_open:
            self.allowance -= count
            self.probed = True

    def succeeded(self) -> None:
        """A task's code returned."""
        self.trusted = True
        self.lost = self.unknown = 0
        self._recover()

    def failed(self, now: int, rng: Random, *, unknown: bool) -> None:
        """A failure by rule 1."""
        if self.is_open and not self.probed:
            return  # it was given before the pause, which was for its like
        self.unknown += unknown
        self.lost += not unknown
        if self.lost + self.unknown >= FAILURES:
            doubled = min(2 * self.pause, PAUSE_MAX_MS)
            self.pause = PAUSE_MS if self.trusted else max(PAUSE_MS, doubled)
            self.due = now + self.pause + rng.randrange(self.pause // 4 + 1)
            self.allowance, self.probed = 0, False

    def ended(self) -> None:
        """A task of it is over, however: there may be another trial."""
        if self.probed:
            self.allowance = 1

    def exonerated(self, *, unknown: bool) -> None:
        """One of its failures turned out to be none."""
        if unknown:
            self.unknown = max(0, self.unknown - 1)
        else:
            self.lost = max(0, self.lost - 1)
        if self.lost + self.unknown < FAILURES:
            self._recover()

    def found_faulty(self) -> None:
        """A task that was lost under it was done by another one."""
        self.trusted = False

    def pass_time(self, now: int) -> bool:
        """Whether it may be given a task that it could not be given before."""
        if not self.is_open or now < self.due:
            return False
        before, self.allowance = self.allowance, 1
        self.due = now + self.pause
        return before < 1

    def _recover(self) -> None:
        self.pause, self.allowance, self.probed = 0, MANY, False

    def reason(self, now: int) -> str:
        """Why it gets nothing, or one task at a time, for people; empty if it is well."""
        if not self.is_open:
            return ""
        count = self.lost + self.unknown
        if not self.unknown:
            why = f"{count} tasks in a row were lost under it"
        elif not self.lost:
            why = f"{count} tasks in a row were unknown to it"
        else:
            why = f"{count} tasks in a row were lost under it or unknown to it"
        if self.probed or self.allowance:
            return f"is given one task at a time: {why}"
        return f"rests for {max(1, -(-(self.due - now) // 1_000))} s: {why}"
