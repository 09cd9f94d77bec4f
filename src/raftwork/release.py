"""What this release is called, and the levels of a cluster that it runs.

A cluster has one level, an integer in the replicated tables (features/upgrade.py). What brokers
write into the log, and how they apply it, depends on the level at that entry and on nothing
else, so that two releases can run side by side: a release runs the levels `LEVELS`, and raises the
level only once every broker can follow.
"""

from typing import Final, NamedTuple

RELEASE: Final = "0.3.0"


class Levels(NamedTuple):
    """A range, both ends included."""

    least: int
    most: int

    def __contains__(self, level: object) -> bool:
        return isinstance(level, int) and self.least <= level <= self.most

    def __str__(self) -> str:
        return (
            f"level {self.most}"
            if self.least == self.most
            else f"levels {self.least} to {self.most}"
        )


#: Level 0 is that of a cluster whose first leader has not set one: a new one, or one of 0.1.0.
#: Level 1: failures are stored as codes (messages/failures.py).
#: Level 2: tasks that wait for a time, a gate or other tasks (broker/machine/level_two.py).
LEVELS: Final = Levels(0, 2)
