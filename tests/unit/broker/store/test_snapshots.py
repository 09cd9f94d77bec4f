"""Snapshots: the machine's tables go to another replica whole, or not at all."""

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from types import SimpleNamespace

import apsw
import pytest

from raftwork.broker.store import Store, StoreOptions
from raftwork.consensus.core import ORIGIN, Position, Snapshot
from raftwork.consensus.durable_replica import Background
from raftwork.errors import StoreDamaged
from tests.unit.broker.store.kit import (
    CLUSTER_ID,
    Disk,
    at_every_step,
    contents,
    entry,
    finished,
    formed,
    image,
    log,
    open_at,
    snapshot_of,
    tasks,
    transfer,
    turn,
)

ROSTER = {"a": b"A" * 16, "b": b"B" * 16, "c": b"C" * 16}


@pytest.fixture
def leader(tmp_path: Path) -> Iterator[Store]:
    store = formed(tmp_path / "leader")
    for seq in range(1, 101):
        turn(store, entry(seq))
        turn(store, applied=Position(3, seq), tasks={f"task {seq}": bytes([seq]) * 700})
    store.begin(sync=False)
    store.save_roster(ROSTER)
    store.connection.execute("INSERT INTO done VALUES ('x', 5)")
    store.commit()
    yield store
    store.close()


@pytest.fixture
def learner(tmp_path: Path) -> Iterator[Store]:
    store = formed(tmp_path / "learner", name="b")
    turn(store, entry(1), entry(2, epoch=2), state=b"hard state")
    yield store
    store.close()


def _install(store: Store, snapshot: Snapshot) -> Snapshot | None:
    store.start_install(snapshot)
    done = finished(store)
    assert not done.made
    return done.snapshot


def _all_of(store: Store, snapshot: Snapshot) -> bytes:
    data = store.snapshot_chunk(snapshot, 0, snapshot.size)
    assert data is not None
    return data


def test_a_snapshot_carries_the_machine_and_nothing_else(leader: Store, tmp_path: Path) -> None:
    snapshot = snapshot_of(leader)
    assert snapshot.at == Position(3, 100)
    data = leader.snapshot_chunk(snapshot, 0, snapshot.size + 1)
    assert data is not None
    assert len(data) == snapshot.size
    assert blake2b(data, digest_size=32).digest() == snapshot.digest
    (tmp_path / "copy.db").write_bytes(data)
    copy = apsw.Connection(str(tmp_path / "copy.db"), vfs="cksmvfs")
    names = {str(name) for (name,) in copy.execute("SELECT name FROM sqlite_schema")}
    assert {n for n in names if not n.startswith("sqlite_")} == {
        "task",
        "done",
        "done_at",
        "store_snapshot",
    }
    assert copy.execute("SELECT count(*) FROM task").get == 100
    assert b"hard state" not in data
    copy.close()


ODD_NAMES = ("a b", "100%", "%41", "what?", "#1", "a&mode=memory", "Zoë ☃", "file:x", "*", "[a]")


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("way", ["relative", "through a link", "from a place that goes away"])
def test_a_snapshot_is_made_and_installed_wherever_the_directory_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, way: str
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    place = Path(name)
    if way == "through a link":
        place.symlink_to(tmp_path)
        place /= name
    if way == "from a place that goes away":
        place = Path("..") / name
    stores = formed(place / "leader"), formed(place / "learner", name="b")
    leader, learner = stores
    turn(leader, entry(1), tasks={"task": b"x"})
    turn(leader, applied=Position(1, 1))
    if way == "from a place that goes away":
        monkeypatch.chdir(tmp_path)
        work.rmdir()
    snapshot = snapshot_of(leader)
    transfer(leader, learner, snapshot)
    assert _install(learner, snapshot) == snapshot
    learner.switch(snapshot)
    assert tasks(learner) == {"task": b"x"}
    for store in stores:
        store.close()


def test_an_installed_snapshot_replaces_state_and_log(leader: Store, learner: Store) -> None:
    snapshot = snapshot_of(leader)
    transfer(leader, learner, snapshot)
    old = learner.connection
    assert _install(learner, snapshot) == snapshot
    assert learner.applied == ORIGIN, "nothing changes before the switch"
    assert learner.switch(snapshot) == ROSTER
    assert learner.connection is not old
    assert learner.restored == (b"hard state", Position(3, 100), ROSTER)
    assert (learner.base, learner.last, list(learner.epochs())) == (snapshot.at, snapshot.at, [])
    assert tasks(learner) == tasks(leader)
    turn(learner, entry(101, epoch=3))
    assert log(learner) == [entry(101, epoch=3)]
    learner.close()
    again = open_at(learner._parts.directory.path, name="b")
    assert again.damage is None
    assert again.restored == (b"hard state", Position(3, 100), ROSTER)
    assert [p.name for p in again._parts.directory.path.glob("*.db")] == ["state-000002.db"]
    again.close()


def test_turns_go_on_while_a_snapshot_is_made(leader: Store, learner: Store) -> None:
    expected = tasks(leader)
    leader.start_snapshot()
    turn(leader, entry(101), tasks={"later": b""}, applied=Position(3, 101))
    done = finished(leader)
    assert done.snapshot is not None
    transfer(leader, learner, done.snapshot)
    assert _install(learner, done.snapshot) == done.snapshot
    learner.switch(done.snapshot)
    assert tasks(learner) in (expected, tasks(leader))
    assert ("later" in tasks(learner)) == (learner.applied == Position(3, 101))


def test_what_was_damaged_on_its_way_is_rejected(leader: Store, learner: Store) -> None:
    snapshot = snapshot_of(leader)
    before = contents(learner)
    transfer(leader, learner, snapshot)
    learner.stage(snapshot, 5_000, b"x")
    assert _install(learner, snapshot) is None
    other = snapshot._replace(digest=bytes(32))
    learner.stage(other, 0, _all_of(leader, snapshot))
    assert _install(learner, other) is None
    assert _install(learner, snapshot) is None, "nothing of it is staged any more"
    moved = snapshot._replace(at=Position(3, 99))
    transfer(leader, learner, snapshot)
    assert _install(learner, moved) is None
    assert contents(learner) == before
    transfer(leader, learner, snapshot)
    assert _install(learner, snapshot) == snapshot


def test_a_file_that_is_no_snapshot_is_rejected(learner: Store) -> None:
    for data in (b"", b"no database", os.urandom(8192)):
        digest = blake2b(data, digest_size=32).digest()
        snapshot = Snapshot(Position(3, 1), len(data), digest)
        learner.stage(snapshot, 0, data)
        assert _install(learner, snapshot) is None


def test_a_snapshot_over_the_size_limit_is_not_even_staged(leader: Store, tmp_path: Path) -> None:
    snapshot = snapshot_of(leader)
    small = formed(tmp_path / "small", StoreOptions(snapshot_bytes_max=10_000), name="b")
    transfer(leader, small, snapshot)
    assert not list((tmp_path / "small").glob("incoming/*"))
    small.stage(Snapshot(Position(3, 1), 100, bytes(32)), 99, b"ab")  # beyond its end
    assert not list((tmp_path / "small").glob("incoming/*"))
    assert _install(small, snapshot) is None
    small.close()


def test_a_snapshot_that_has_become_stale_is_dropped(leader: Store, learner: Store) -> None:
    snapshot = snapshot_of(leader)
    transfer(leader, learner, snapshot)
    # Meanwhile a new leader had the log for it: these may be acknowledged by now.
    turn(learner, *(entry(seq, epoch=3) for seq in range(1, 111)))
    before = contents(learner)
    assert _install(learner, snapshot) is None
    assert contents(learner) == before
    assert [p.name for p in learner._parts.directory.path.glob("*.db")] == ["state-000001.db"]


def test_only_the_newest_snapshot_is_kept_and_none_over_a_restart(leader: Store) -> None:
    directory = leader._parts.directory.path
    for _ in range(3):
        leader.stage(snapshot_of(leader), 0, b"x")
        assert len(list(directory.glob("snapshot-*"))) == 1
    left = image(directory)
    assert len(list(left.glob("incoming/*"))) == 1
    open_at(left).close()
    assert not list(left.glob("snapshot-*"))
    assert not (left / "incoming").exists()


def test_a_full_disk_means_no_snapshot_but_no_end(directory: Path, disk: Disk) -> None:
    store = formed(directory, disk.options)
    disk.fail("write snapshot", lambda: apsw.FullError("full"))
    store.start_snapshot()
    assert finished(store) == Background(made=True, snapshot=None)
    assert not list(directory.glob("snapshot-*"))
    turn(store, entry(1))
    store.close()


def test_damage_met_by_a_snapshot_ends_the_store(directory: Path) -> None:
    store = formed(directory)
    turn(store, tasks={f"{n}": bytes(300) for n in range(100)})
    store.close()
    with (directory / "state-000001.db").open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(size - 2_000)
        file.write(b"damage")
    again = open_at(directory)
    again.start_snapshot()
    with pytest.raises(StoreDamaged):
        finished(again)
    assert (directory / "damaged").exists()


def test_a_full_disk_during_an_install_ends_nobody(
    leader: Store, directory: Path, disk: Disk
) -> None:
    store = formed(directory, disk.options, name="b")
    snapshot = snapshot_of(leader)
    transfer(leader, store, snapshot)
    disk.fail("write", lambda: apsw.FullError("full"))
    assert _install(store, snapshot) is None
    assert not list(directory.glob("incoming/*")), "it must not keep the disk full"
    disk.on_operation = lambda operation: None
    turn(store, entry(1), state=b"goes on")
    transfer(leader, store, snapshot)
    assert _install(store, snapshot) == snapshot
    store.close()


def test_a_snapshot_does_not_take_the_last_of_the_disk(
    leader: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader's next commit would find it full, and end the leader."""
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
        leader.start_snapshot()
        assert finished(leader) == Background(made=True, snapshot=None)
    assert snapshot_of(leader).at == Position(3, 100)


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("step", ["make", "stage", "install"])
def test_too_many_open_files_are_no_broken_disk(leader: Store, learner: Store, step: str) -> None:
    """Strangers' connections may use up the descriptors: the transfer fails, the replica stays."""
    snapshot = snapshot_of(leader)
    data = _all_of(leader, snapshot)
    if step == "make":
        with no_descriptors_left():
            leader.start_snapshot()
            assert finished(leader) == Background(made=True, snapshot=None)
        snapshot_of(leader)
    if step == "stage":
        with no_descriptors_left():
            learner.stage(snapshot, 0, data)
        assert _install(learner, snapshot) is None
    if step == "install":
        learner.stage(snapshot, 0, data)
        with no_descriptors_left():
            assert _install(learner, snapshot) is None
    learner.stage(snapshot, 0, data)
    assert _install(learner, snapshot) == snapshot


def test_closing_does_not_wait_for_background_work(leader: Store) -> None:
    leader.start_snapshot()
    leader.close()
    left = leader._parts.directory.path
    assert not list(left.glob("snapshot-*.db-wal"))
    open_at(left).close()


def test_a_crash_at_any_step_of_an_install_leaves_one_generation_whole(
    leader: Store, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "b"
    store = formed(directory, disk.options, name="b")
    turn(store, entry(1), state=b"hard state")
    old = contents(store)
    snapshot = snapshot_of(leader)
    transfer(leader, store, snapshot)
    images: list[Path] = []
    with monkeypatch.context() as patch:
        at_every_step(disk, patch, lambda: images.append(image(directory)))
        assert _install(store, snapshot) == snapshot
        prepared = len(images)
        store.switch(snapshot)
        turn(store, entry(101, epoch=3))
    disk.on_operation = lambda operation: None
    new = ((b"hard state", Position(3, 100), ROSTER), snapshot.at)
    found = []
    for number, left in enumerate(images):
        again = open_at(left, name="b")
        assert again.damage is None
        assert again.cluster_id == CLUSTER_ID
        is_old = contents(again) == old
        if not is_old:
            assert contents(again)[:2] == new
            assert tasks(again) == tasks(leader)
        found.append(is_old)
        assert is_old or number >= prepared
        assert len(list(left.glob("state-*.db"))) == 1
        again.close()
    switched = found.index(False)
    assert all(found[:switched]) and not any(found[switched:]), "it goes over once, and for good"
    assert prepared > 20 and len(images) - prepared > 8
