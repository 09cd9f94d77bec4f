"""Seeded worlds of Zab cores: they hold, they are reproducible, and they would catch a bug."""

import pytest

from tests.sim import zab_bugs
from tests.sim.cores import Failure, run
from tests.sim.shape import Kind

#: Worlds that have shown a bug of this core before, beyond those that every run lives through.
LESSONS = [(28, Kind.PLOT)]


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_fifty_seeds_hold(start: int) -> None:
    for seed in range(start, start + 50):
        run(seed, protocol="zab")


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", [Kind.PLOT, Kind.STORM])
def test_disasters_and_storms_do_no_harm(seed: int, kind: Kind) -> None:
    run(seed, kind, "zab")


@pytest.mark.parametrize(("seed", "kind"), LESSONS)
def test_what_failed_once_holds(seed: int, kind: Kind) -> None:
    run(seed, kind, "zab")


def test_the_same_seed_gives_the_same_trace() -> None:
    assert run(7, protocol="zab").hash == run(7, protocol="zab").hash
    assert run(7, protocol="zab").hash != run(7, protocol="raft").hash


@pytest.mark.parametrize(
    ("bug", "kind"), zab_bugs.BUGS, ids=lambda value: getattr(value, "__name__", value)
)
def test_the_simulator_catches(
    bug: zab_bugs.Bug, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most are caught by the first few seeds; the bound only ends a search that is in vain."""
    bug(monkeypatch)

    with pytest.raises(Failure):  # noqa: PT012
        for seed in range(400):
            run(seed, kind, "zab")
