"""Seeded worlds of Zab cores: they hold, they are reproducible, and they would catch a bug."""

from collections.abc import Callable

import pytest

from tests.sim import zab_bugs
from tests.sim.cores import Failure, run
from tests.sim.shape import Kind
from tests.unit.consensus.zab import test_disasters as scripts

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


@pytest.mark.parametrize(
    ("bug", "script"),
    [
        (
            zab_bugs.an_ack_before_the_sync,
            scripts.test_zookeeper_3911_newleader_is_acknowledged_once_the_history_is_durable,
        ),
        (
            zab_bugs.an_accepted_epoch_that_is_not_persisted,
            scripts.test_an_accepted_epoch_survives_a_crash,
        ),
        (
            zab_bugs.an_epoch_accepted_from_a_rival_counted,
            scripts.test_an_epoch_accepted_from_another_counts_for_nobody_else,
        ),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_script_catches(
    bug: zab_bugs.Bug, script: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    script()
    bug(monkeypatch)

    with pytest.raises(AssertionError):
        script()
