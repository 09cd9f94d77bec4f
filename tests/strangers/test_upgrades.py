"""A first upgrade: the directory of the release before, and the commands that docs name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from raftwork.release import LEVELS, RELEASE
from tests.cluster.conftest import ODD_NAME
from tests.golden.shape import HERE, unpack_directory
from tests.strangers.place import Place

TASKS = """
from raftwork import App

app = App()

@app.task
def add(x, y):
    return x + y
"""


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Place]:
    """Where one broker of 0.1.0 was stopped: one task succeeded, one failed, two wait."""
    directory = tmp_path / ODD_NAME
    data = directory / "data" / "a"
    data.mkdir(parents=True)
    unpack_directory(HERE / "0.1.0" / "solo.tar.gz", data)
    made = Place(directory, "raft", names="a")
    yield made
    made.close()


def test_a_broker_of_0_1_0_is_upgraded_and_keeps_its_tasks(old: Place) -> None:
    old.write("t.py", TASKS)
    line = "raftwork broker --name a --cluster $CLUSTER --data data/a"
    refused = old.sh(line)
    assert refused.code == 1 and "--readdress" in refused.err, "it was at another port"
    broker = old.start(f"{line} --readdress", "a")
    old.wait_until(lambda: old.status()["leader"] == "a", "it leads")
    queue = old.status()["queues"]["default"]
    counts = {name: queue[name] for name in ("queued", "succeeded", "failed", "max_length")}
    assert counts == {"queued": 2, "succeeded": 1, "failed": 1, "max_length": 1_000}
    old.start("raftwork worker t:app --concurrency 1", "w")
    old.wait_until(lambda: old.status()["queues"]["default"]["succeeded"] == 3, "all has run")

    shown = old.sh("raftwork upgrade status")
    assert shown.code == 0, shown.err
    assert shown.out.startswith(f"level {LEVELS.most}\n")
    assert RELEASE in shown.out
    done = old.sh("raftwork upgrade finish")
    assert (done.code, done.out) == (0, "")
    assert "nothing to raise" in done.err
    assert broker.stop() == 0
