"""What came out of a scene under a strategy, and how two strategies compare in it."""

from __future__ import annotations

from math import nan, sqrt
from statistics import mean, stdev
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bench.balancing.scenes import Scene


#: Student's t by the number of pairs, from two: how many standard errors 95 of 100 differences that
#: are chance stay within. The last one is as good as for ever.
STUDENT = (12.7, 4.3, 3.2, 2.8, 2.6, 2.4, 2.4, 2.3, 2.3, 2.2, 2.2, 2.2, 2.2, 2.1)


class Result(NamedTuple):
    """Of one world."""

    value: float  # makespan over the bound - 1, or the mean wait in seconds
    share: float  # the worker farthest from its ideal share: how far
    p50: float = nan
    p99: float = nan


class Difference(NamedTuple):
    """A mean of paired differences and its standard error (nan: of one pair)."""

    mean: float
    error: float
    pairs: int

    @property
    def verdict(self) -> str:
        """Chance alone says more or less once in twenty times."""
        if self.pairs == 1:
            return "one pair only"
        chance = self.error * STUDENT[: self.pairs - 1][-1]
        if abs(self.mean) <= chance:
            return "no difference"
        return "more" if self.mean > 0 else "less"

    def __str__(self) -> str:
        return f"{self.mean:+.1%}" + (f" ± {self.error:.1%}" if self.pairs > 1 else "")


class Cell(NamedTuple):
    """A strategy in a scene: a result for each seed."""

    scene: Scene
    strategy: str
    results: list[Result]

    @property
    def value(self) -> float:
        return mean(r.value for r in self.results)

    @property
    def share(self) -> float:
        return max(r.share for r in self.results)

    @property
    def p50(self) -> float:
        return mean(r.p50 for r in self.results)

    @property
    def p99(self) -> float:
        return mean(r.p99 for r in self.results)

    def minus(self, other: Cell) -> Difference:
        """Seed by seed: both met the same machines and tasks. In shares of the other's value.

        Makespans are compared, not what they are over the bound.
        """
        base = 0.0 if self.scene.load else 1.0
        pairs = zip(self.results, other.results, strict=True)
        found = [(mine.value - yours.value) / (base + other.value) for mine, yours in pairs]
        error = stdev(found) / sqrt(len(found)) if len(found) > 1 else nan
        return Difference(mean(found), error, len(found))

    def __str__(self) -> str:
        scene = self.scene
        return f"{scene.workers} workers, {scene.fleet}, {scene.lengths}, load {scene.load:.0%}"
