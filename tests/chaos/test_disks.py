"""Disks that fill up, turn read-only, refuse writes or lie: such a replica says so and stops."""

import os
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from raftwork.chaos.processes import Brokers
from raftwork.testing.processes import LocalCluster
from tests.chaos.conftest import Load, leader_of, started, under_load, wait_until


@contextmanager
def tmpfs(path: Path, size: str) -> Iterator[None]:
    """A small file system of our own at `path`; skips where it may not be mounted."""
    path.mkdir(parents=True)
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system may be mounted here: {getattr(error, 'stderr', error)}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def remount(path: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", path], check=True)


def wait_for_end(local: LocalCluster, name: str, saying: str) -> None:
    """Until the broker has stopped by itself, naming its disk."""
    child = local.children[name]
    wait_until(lambda: not child.alive, f"{name} has stopped\n{child.tail()}")
    assert child.wait(1) == 1
    assert saying in child.tail()


def rejoin(load: Load, local: LocalCluster, name: str) -> None:
    local.start_broker(name)
    load.trial.wait_until_whole()


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_a_replica_whose_disk_is_full_stops_and_comes_back_with_room(
    role: str, local: LocalCluster, tmp_path: Path
) -> None:
    with tmpfs(local.data("a"), "64m"):
        brokers = started(local)
        with under_load(brokers, tmp_path) as load:
            make_it(role, "a", brokers, load)
            with load.trial.struck("disk-full", role, "a"):
                filler = local.data("a") / "filler"
                fill(filler)
                wait_for_end(local, "a", "full")
                load.wait_for_more()
            filler.unlink()
            rejoin(load, local, "a")
        for child in local.children.values():
            child.kill_group()


def make_it(role: str, name: str, brokers: Brokers, load: Load) -> None:
    """Restart leaders until `name` has the role."""
    while (leader_of(brokers) == name) != (role == "leader"):
        pause_leader(brokers)
        load.trial.wait_until_whole()


def pause_leader(brokers: Brokers) -> None:
    """Until there is another."""
    old = leader_of(brokers)
    process = brokers.running()[old]
    process.signal(signal.SIGSTOP)
    wait_until(lambda: brokers.see().leader not in (old, None), "another leader")
    process.signal(signal.SIGCONT)


def fill(path: Path) -> None:
    with path.open("wb") as file:
        try:
            while True:
                file.write(bytes(65536))
                file.flush()
        except OSError:
            pass


def test_a_replica_whose_writes_fail_stops_and_comes_back(
    local: LocalCluster, tmp_path: Path
) -> None:
    """No file may grow any more: the same to SQLite as a disk that answers with errors."""
    brokers = started(local)
    with under_load(brokers, tmp_path) as load:
        leader = leader_of(brokers)
        with load.trial.struck("disk-error", "leader", leader):
            pid = local.children[leader].pid
            # Its log is shorter, its database and write-ahead log are longer.
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (16_384, resource.RLIM_INFINITY))
            wait_for_end(local, leader, "this replica stops")
            load.wait_for_more()
        rejoin(load, local, leader)


def test_a_replica_does_not_start_on_a_read_only_disk_and_says_why(
    local: LocalCluster, tmp_path: Path
) -> None:
    with tmpfs(local.data("a"), "64m"):
        brokers = started(local)
        with under_load(brokers, tmp_path) as load:
            with load.trial.struck("disk-read-only", "follower", "a"):
                local.children["a"].kill()
                remount(local.data("a"), "ro")
                local.start_broker("a")
                wait_for_end(local, "a", "ead-only")
                load.wait_for_more()
            remount(local.data("a"), "rw")
            rejoin(load, local, "a")
        for child in local.children.values():
            child.kill_group()


@pytest.mark.parametrize("seed", range(3))
def test_bits_flipped_anywhere_in_a_stopped_replica_are_cured_or_refused(
    seed: int, local: LocalCluster, tmp_path: Path
) -> None:
    """Whatever it does about them, it never serves, votes on or spreads what they say."""
    rng = Random(seed)
    brokers = started(local)
    with under_load(brokers, tmp_path) as load:
        for name in local.addresses:
            with supervised(local, name):
                with load.trial.struck("bit-flip", "follower", name):
                    local.children[name].kill()
                    flip(rng, local.data(name))
                    local.start_broker(name)
                    load.wait_for_more()
                load.trial.wait_until_whole()


def flip(rng: Random, directory: Path) -> None:
    """A bit in one of the files that hold something, each file as likely as the others."""
    files = sorted(p for p in directory.iterdir() if p.is_file() and p.stat().st_size)
    path = rng.choice([p for p in files if p.name not in ("lock", "broker.pid")])
    at = rng.randrange(path.stat().st_size)
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))
    print(f"flipped a bit of {path} at {at}")


@contextmanager
def supervised(local: LocalCluster, name: str) -> Iterator[None]:
    """This broker is started again when it ends by itself; on a new disk if it refuses its own.

    A flipped bit may be noticed at the start, or at any time after it, when its page is first read;
    either way the broker must have said why it ends, and the others have no reason to end.
    """
    over, ends, refusal = threading.Event(), list[str](), f"  {name}| Error: "

    def supervise() -> None:
        while not over.wait(0.05):
            child = local.children[name]
            if child.alive or child.wait(1) == -signal.SIGKILL:
                continue
            ends.append(child.tail(1))
            if ends[-1].startswith(refusal):
                replace_disk(local, name)
            else:
                local.start_broker(name)

    before = dict(local.children)
    thread = threading.Thread(target=supervise)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert all(end.startswith(refusal) or "this replica stops: " in end for end in ends), ends
    assert len(ends) <= 3, ends
    for other in set(local.addresses) - {name}:
        assert local.children[other] is before[other] and before[other].alive, other


def replace_disk(local: LocalCluster, name: str) -> None:
    """What its operator does: an empty directory in the place of the refused one."""
    os.rename(local.data(name), local.data(name).with_name(f"{name}-refused"))
    local.start_broker(name)
