"""Who is a cluster's broker: nobody is signalled because of a number in a file alone."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from raftwork.broker.store.files import DirectoryLock
from raftwork.broker.store.identity import Identity, save_identity
from raftwork.chaos.processes import Brokers, Process, open_broker

PID_MAX = int(Path("/proc/sys/kernel/pid_max").read_text())


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    """A data directory that this process has open, as a broker would."""
    lock = DirectoryLock(tmp_path)
    (tmp_path / "broker.pid").write_text(f"{os.getpid()}\n")
    yield tmp_path
    lock.release()


def identify(directory: Path, name: str, **cluster: str) -> None:
    directory.mkdir(parents=True)
    save_identity(directory, Identity(name, bytes(16), b"", "raft", cluster))


def test_who_holds_the_directorys_lock_is_its_broker(held: Path) -> None:
    process = open_broker("a", held)
    assert process is not None
    assert (process.name, process.pid, process.alive) == ("a", os.getpid(), True)


def test_a_stranger_with_the_pid_of_a_dead_broker_is_left_alone(tmp_path: Path) -> None:
    """It runs, the pid file names it, and it may even hold locks of its own."""
    lock = DirectoryLock(tmp_path)
    lock.release()
    (tmp_path / "broker.pid").write_text(f"{os.getpid()}\n")
    other = tmp_path / "elsewhere"
    other.mkdir()
    elsewhere = DirectoryLock(other)
    assert open_broker("a", tmp_path) is None
    elsewhere.release()


def test_the_lock_of_another_process_is_not_this_ones(held: Path) -> None:
    (held / "broker.pid").write_text(f"{os.getppid()}\n")
    assert open_broker("a", held) is None


@pytest.mark.parametrize("text", ["", "one\n", "-1\n", "0\n", f"{PID_MAX + 1}\n", f"{2**70}\n"])
def test_a_pid_file_that_names_no_process_is_nobody(text: str, held: Path) -> None:
    (held / "broker.pid").write_text(text)
    assert open_broker("a", held) is None


def test_without_a_pid_file_or_a_lock_there_is_nobody(tmp_path: Path) -> None:
    assert open_broker("a", tmp_path) is None
    (tmp_path / "broker.pid").write_text(f"{os.getpid()}\n")
    assert open_broker("a", tmp_path) is None


def test_there_is_no_process_without_one() -> None:
    with pytest.raises(ProcessLookupError):
        Process("nobody", PID_MAX)


@pytest.mark.parametrize("below", ["", "data"])
def test_a_clusters_brokers_are_found_by_their_directories(below: str, tmp_path: Path) -> None:
    for name in ("x", "y"):
        identify(tmp_path / below / name, name, x="127.0.0.1:1", y="127.0.0.1:2")
    (tmp_path / "logs").mkdir()
    found = Brokers([tmp_path])
    assert found.text == "127.0.0.1:1,127.0.0.1:2"
    assert found.directory("y") == tmp_path / below / "y"
    assert found.running() == {}


def test_a_single_brokers_directory_is_one_too(tmp_path: Path) -> None:
    identify(tmp_path / "x", "x", x="127.0.0.1:1")
    assert Brokers([tmp_path / "x"]).addresses == {"x": "127.0.0.1:1"}


def test_directories_of_two_clusters_are_no_cluster(tmp_path: Path) -> None:
    identify(tmp_path / "x", "x", x="127.0.0.1:1")
    identify(tmp_path / "y", "y", y="127.0.0.1:2")
    with pytest.raises(ValueError, match="several clusters"):
        Brokers([tmp_path])


def test_directories_of_no_broker_are_no_cluster(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no broker's data directory"):
        Brokers([tmp_path])
