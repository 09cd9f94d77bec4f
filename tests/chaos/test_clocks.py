"""Wall clocks that jump: no lease follows any, and delays and retention only most of them."""

from pathlib import Path

import pytest

from raftwork import App
from raftwork.chaos.processes import Brokers
from raftwork.testing.processes import LocalCluster
from tests.chaos.conftest import all_started, calm, leader_of, under_load, wait_until

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
DAY = 86_400
#: Results are kept for longer, and an enqueue may be tried again for longer.
MINUTES = 600


def set_clock(directory: Path, name: str, offset: int) -> None:
    """From now on the broker's wall clock is off by so many seconds; replaced at once, whole."""
    new = directory / f"clock-{name}.new"
    new.write_text(f"{offset:+d}s\n")
    new.replace(directory / f"clock-{name}")


def start_with_own_clock(local: LocalCluster, name: str) -> None:
    set_clock(local.directory, name, 0)
    env = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(local.directory / f"clock-{name}"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    local.start(name, local.broker_arguments(name), env)


pytestmark = [
    pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed"),
]


@pytest.fixture
def clocked(local: LocalCluster) -> Brokers:
    """Three brokers, each with a wall clock of its own."""
    for name in local.addresses:
        start_with_own_clock(local, name)
    return all_started(local)


@pytest.mark.parametrize("offset", [DAY, -DAY])
@pytest.mark.parametrize("role", ["leader", "follower"])
def test_one_wrong_clock_changes_nothing(
    offset: int, role: str, clocked: Brokers, local: LocalCluster, tmp_path: Path
) -> None:
    """Not even when a new leader asks all the others for the time."""
    with under_load(clocked, tmp_path) as load:
        calm(clocked)
        before = leader_of(clocked)
        name = next(n for n in local.addresses if (n == before) == (role == "leader"))
        with load.trial.struck(f"clock{offset:+d}", role, name):
            set_clock(tmp_path, name, offset)
            load.wait_for_more()
        assert leader_of(clocked) == before
        after = clocked.see()
        assert {worker.state for worker in after.workers} == {"active"}
        with load.trial.struck("kill", "leader", before):
            local.children[before].kill()
            load.wait_for_more()
            start_with_own_clock(local, before)
        load.trial.wait_until_whole()


@pytest.mark.parametrize("offset", [MINUTES, -MINUTES])
def test_when_all_clocks_are_set_who_leads_and_works_stays(
    offset: int, clocked: Brokers, tmp_path: Path
) -> None:
    """Times follow the clocks: set forward they come at once, set back late, and none twice."""
    with under_load(clocked, tmp_path) as load, App(brokers=clocked.text) as app:
        calm(clocked)
        leader_of(clocked)
        before = clocked.see()
        brief = app.named("nobody.knows", queue="nobody", expires=MINUTES / 2).enqueue()
        with load.trial.struck(f"clock{offset:+d}", "all", "+".join(clocked.addresses)):
            for name in clocked.addresses:
                set_clock(tmp_path, name, offset)
            load.wait_for_more(300)
            if offset > 0:
                wait_until(lambda: brief.status() == "cancelled", "the leader's clock is set")
                load.wait_for_more(300)
        leader_of(clocked)
        after = clocked.see()
        assert (after.leader, after.epoch) == (before.leader, before.epoch)
        assert {worker.state for worker in after.workers} == {"active"}
