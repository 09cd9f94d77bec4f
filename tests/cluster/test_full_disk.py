"""Disks that fill at speed under load: refused in time, nothing lost, and it ends by itself.

Each broker has a small file system of its own, which takes the right to mount one.
"""

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from raftwork import App, QueueFull
from raftwork.testing.real_cluster import RealCluster
from tests.cluster.conftest import MakeCluster
from tests.cluster.harness import Cluster
from tests.cluster.load import Load

MIB = 1024 * 1024
SIZE_MIB, RESERVE_MIB = 128, 48
#: So much above the reserve it begins to fill at speed, 1 MiB each time: 10 MB/s.
BEGINS_MIB = 20
EVERY_S = 0.1


class Filler:
    """Fills the disk of a broker's directory from a thread until it is full, or is told to end."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        data = cluster.local.data(name)
        self._path = data / "fill"
        found = os.statvfs(data)
        at_once = found.f_bavail * found.f_frsize - (RESERVE_MIB + BEGINS_MIB) * MIB
        self._path.write_bytes(bytes(max(0, at_once)))
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.full = False

    def _run(self) -> None:
        with open(self._path, "ab", buffering=0) as file:
            while not self._end.wait(EVERY_S):
                try:
                    file.write(bytes(MIB))
                except OSError:
                    self.full = True
                    return

    def stop(self) -> None:
        """Fill no more."""
        self._end.set()
        self._thread.join()

    def make_room(self) -> None:
        """Give back all that was taken."""
        self.stop()
        self._path.unlink(missing_ok=True)


class PatientLoad(Load):
    """As Load; what finds no room is enqueued again under the same ids."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.refusals: list[str] = []

    def _enqueue(self, first: int) -> None:
        while not self._end.is_set():
            try:
                return super()._enqueue(first)
            except QueueFull as error:
                self.refusals.append(str(error))
                self._end.wait(EVERY_S)
        return None


@contextmanager
def _small_disk(path: Path) -> Iterator[None]:
    path.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", os.fspath(path)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", os.fspath(path)], check=True)


@pytest.fixture
def small(make_cluster: MakeCluster) -> Iterator[Cluster]:
    """Three brokers that lead, each on a small disk, and a worker."""
    cluster = make_cluster()
    with ExitStack() as stack:
        for name in cluster.names:
            stack.enter_context(_small_disk(cluster.local.data(name)))
        # Ended before their disks go.
        stack.callback(cluster.close)
        for name in cluster.names:
            cluster.local.start_broker(name, "--disk-reserve", str(RESERVE_MIB))
        cluster.wait_for_leader()
        cluster.start_worker("w1", "--pool", "thread")
        yield cluster


def _back(cluster: Cluster, name: str) -> None:
    """It may have ended, or be about to, as by any disk that fails: then it is started again."""
    goal = cluster.goal()

    def caught_up() -> bool:
        if not cluster[name].alive:
            cluster.local.start_broker(name, "--disk-reserve", str(RESERVE_MIB))
        return cluster.role(name) in ("follower", "leader") and cluster.applied(name) >= goal

    cluster.wait_until(caught_up, f"{name} is back, and has caught up as a voter")


def test_a_disk_that_fills_costs_at_most_its_broker_and_a_majority_is_refused_in_time(
    small: Cluster,
) -> None:
    with PatientLoad(small) as load:
        load.wait_for_more()
        # A follower's: the other two go on, until it is full and after.
        leader, (follower, _) = small.ranks()
        filler = Filler(small, follower)
        small.wait_until(lambda: filler.full, "the follower's disk is full")
        load.wait_for_more()
        assert small.leader() == leader
        filler.make_room()
        _back(small, follower)

        # The leader's: another leads before it is full.
        filler = Filler(small, leader)
        small.wait_for_leader(other_than=leader)
        assert not filler.full
        assert small[leader].alive
        load.wait_for_more()
        filler.make_room()
        _back(small, leader)
        assert load.refusals == []

        # Those of a majority: refused before they are full, with both numbers.
        fillers = [Filler(small, name) for name in small.ranks()[1]]
        small.wait_until(lambda: load.refusals, "new tasks are refused")
        assert not any(each.full for each in fillers)
        for each in fillers:
            each.stop()
        (free,) = set(re.findall(r"(\d+) MiB free", load.refusals[0])[:1])
        assert 0 < int(free) < RESERVE_MIB
        assert f"{RESERVE_MIB} MiB must be" in load.refusals[0]
        assert "purge" in load.refusals[0]
        assert all(small[name].alive for name in small.names)
        for each in fillers:
            each.make_room()
        load.wait_for_more()
    load.check()


def test_what_is_thrown_away_takes_tasks_on_a_nearly_full_disk(tmp_path: Path) -> None:
    """A test's own cluster does not depend on what else fills the machine's disk."""
    where = tmp_path / "disk"
    with _small_disk(where), RealCluster(where) as made:
        assert App(brokers=made.brokers).named("x").enqueue().id
