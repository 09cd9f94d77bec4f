"""The rows of the table: a function each, with the least that it must reach.

A module of this package names its rows in ROWS; `run.py` lists the modules.
"""

import os
from collections.abc import Callable
from math import inf
from typing import NamedTuple

import psutil

from bench.harness import Figures
from raftwork.testing.processes import LocalCluster


class Reached(NamedTuple):
    """What a row came to."""

    value: float
    conditions: str
    more: dict[str, float]


class Row(NamedTuple):
    """One line of the table."""

    name: str  # as it is chosen on the command line
    what: str
    least: float
    most: float
    measure: Callable[[], Reached]

    def add_to(self, figures: Figures) -> None:
        """Measure it, and say whether it is what it must be."""
        value, conditions, more = self.measure()
        figures.promise(self.what, value, self.least, self.most, conditions)
        for name, number in more.items():
            figures.add(f"… {name}", number, "", conditions)


def cpu_us(made: LocalCluster) -> float:
    """CPU time so far of the cluster's processes and this one, of threads that have ended, too."""
    pids = [child.pid for child in made.children.values()]
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in (*pids, os.getpid())) * 1e6


def at_least(name: str, what: str, least: float, measure: Callable[[], Reached]) -> Row:
    """A row of which more is better."""
    return Row(name, what, least, inf, measure)


def at_most(name: str, what: str, most: float, measure: Callable[[], Reached]) -> Row:
    """A row of which less is better."""
    return Row(name, what, 0, most, measure)
