"""Seeded worlds of Raft cores: they hold, they are reproducible, and they would catch a bug."""

import os
import subprocess
import sys

import pytest

from tests.sim import bugs
from tests.sim.cores import Failure, run
from tests.sim.shape import Kind


@pytest.mark.parametrize("start", range(0, 300, 50))
def test_fifty_seeds_hold(start: int) -> None:
    for seed in range(start, start + 50):
        run(seed)


@pytest.mark.parametrize("seed", range(20))
def test_old_disasters_do_no_harm(seed: int) -> None:
    run(seed, Kind.PLOT)


@pytest.mark.parametrize("kind", list(Kind))
def test_the_same_seed_gives_the_same_trace_whatever_the_hash_seed(kind: Kind) -> None:
    here = run(7, kind).hash
    command = f"from tests.sim.cores import run, Kind; print(run(7, Kind('{kind}')).hash)"
    there = subprocess.run(
        [sys.executable, "-c", command],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        check=True,
        text=True,
    )

    assert run(7, kind).hash == here == int(there.stdout)
    assert run(8, kind).hash != here


def test_the_worlds_reach_what_they_are_for() -> None:
    reached: set[str] = set()
    for seed in range(40):
        reached |= run(seed).reached.keys()
    for seed in range(8):
        reached |= run(seed, Kind.PLOT).reached.keys()

    assert reached >= {
        "cut", "heal", "kill", "power cut", "wipe", "pause", "disk", "refused: full",
        "refused: transfer", "installed", "rebound", "handed over", "read", "acknowledged",
        "plot: figure 8", "plot: directory lost", "plot: one voter",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("bug", "kind"), bugs.BUGS, ids=lambda value: getattr(value, "__name__", value)
)
def test_the_simulator_catches(bug: bugs.Bug, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most are caught by the first few seeds; the bound only ends a search that is in vain."""
    bug(monkeypatch)

    with pytest.raises(Failure):
        run_many(bugs.FIRST.get(bug, 0), 400, kind)


def run_many(first: int, count: int, kind: Kind) -> None:
    for seed in range(first, first + count):
        run(seed, kind)
