"""A broker looks at its disk now and then, says what changes, and keeps ballast for a full one."""

import errno
from pathlib import Path

import pytest

from raftwork.broker.disk_gauge import EVERY_MS, DiskGauge
from raftwork.broker.disk_space import DiskSpace
from raftwork.broker.peer_events import DiskGetsFull, DiskHasRoom, DiskLow
from raftwork.broker.store import ballast
from raftwork.broker.store.ballast import NAME, drop_ballast, free_bytes, keep_ballast

MIB = 1024 * 1024
RESERVE = 512 * MIB


class Disk:
    """What a gauge finds, and what it says."""

    def __init__(self, path: Path, reserve: int = RESERVE, size: int = 0) -> None:
        self.path, self.free, self.now, self.looks = path, 10_000 * MIB, 0, 0
        self.events: list[object] = []
        self.space = DiskSpace("a", ("a",), reserve)
        self.gauge = DiskGauge(
            path, reserve, self.space, lambda: size, self.events.append, self.look
        )

    def look(self, _path: Path) -> int:
        self.looks += 1
        return self.free

    def at(self, free_mib: int) -> list[object]:
        """So much is free; what is said of it, for the first time."""
        self.free, self.now = free_mib * MIB, self.now + EVERY_MS
        self.gauge.tend(self.now)
        said, self.events[:] = list(self.events), []
        return said


def test_each_change_is_said_once_with_its_numbers(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    assert disk.at(5_000) == []
    assert disk.at(1_000) == [DiskGetsFull(1_000 * MIB, RESERVE)]
    assert disk.at(900) == []
    assert disk.at(500) == [DiskLow(500 * MIB, RESERVE)]
    assert disk.at(520) == []
    assert disk.at(1_100) == [DiskGetsFull(1_100 * MIB, RESERVE)]
    assert disk.at(1_200) == [DiskHasRoom(1_200 * MIB)]
    assert "500 MiB are free, 512 MiB must be" in str(DiskLow(500 * MIB, RESERVE))
    assert "1000 MiB are free" in str(DiskGetsFull(1_000 * MIB, RESERVE))
    assert "1200 MiB" in str(DiskHasRoom(1_200 * MIB))


def test_a_large_database_wants_room_for_a_copy(tmp_path: Path) -> None:
    disk = Disk(tmp_path, size=3_000 * MIB)
    assert disk.at(2_999) == [DiskGetsFull(2_999 * MIB, RESERVE)]


def test_it_looks_once_a_second_and_without_a_reserve_never(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    for now in range(0, 3 * EVERY_MS, 20):
        disk.gauge.tend(now)
    assert disk.looks == 3
    off = Disk(tmp_path, reserve=0)
    off.at(0)
    assert off.looks == 0
    assert not off.space.shortage


def test_ballast_is_kept_while_there_is_room_and_given_up_when_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ballast, "BALLAST_BYTES", 64 * 1024)
    disk = Disk(tmp_path)
    disk.at(600)
    assert not (tmp_path / NAME).exists()
    disk.at(5_000)
    assert (tmp_path / NAME).stat().st_blocks * 512 >= 64 * 1024
    assert not drop_ballast(tmp_path), "the disk is not full"
    monkeypatch.setattr(ballast, "free_bytes", lambda _path: 0)
    assert drop_ballast(tmp_path)
    assert not (tmp_path / NAME).exists()
    assert not drop_ballast(tmp_path)


def test_ballast_that_was_not_finished_is_made_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that was killed just then would have none, and never make it."""
    monkeypatch.setattr(ballast, "BALLAST_BYTES", 64 * 1024)
    (tmp_path / NAME).touch()
    keep_ballast(tmp_path)
    assert (tmp_path / NAME).stat().st_blocks * 512 >= 64 * 1024


def test_where_space_cannot_be_set_aside_there_is_no_ballast_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's own call writes to each block then: 64 MiB, in a broker's loop."""
    asked: list[int] = []

    def refused(descriptor: int) -> None:
        asked.append(descriptor)
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(ballast, "_set_aside", refused)
    monkeypatch.setattr("os.posix_fallocate", None)
    disk = Disk(tmp_path)
    for _ in range(3):
        disk.at(5_000)
    assert len(asked) == 1
    assert not (tmp_path / NAME).exists()


def test_a_disk_that_cannot_be_asked_says_nothing(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "gone") is None
    keep_ballast(tmp_path / "gone")
    assert not drop_ballast(tmp_path / "gone")
    disk = Disk(tmp_path)
    disk.gauge._free = lambda _path: None
    assert disk.at(1) == []
