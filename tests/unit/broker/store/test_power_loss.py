"""After a power loss only what was synced is there, and that is enough for every promise."""

from pathlib import Path

import pytest

from raftwork.broker.store import StoreOptions
from raftwork.consensus.core import ORIGIN, Position
from tests.unit.broker.store.kit import (
    CLUSTER_ID,
    Disk,
    Platter,
    at_every_step,
    contents,
    entry,
    finished,
    formed,
    log,
    open_at,
    snapshot_of,
    transfer,
    turn,
)


def test_every_promise_outlives_a_power_loss(
    directory: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    platter = Platter(directory, disk, monkeypatch)
    options = StoreOptions(vfs=disk.vfs, wal_bytes=30 * 4096, tail_entries=5, segment_entries=3)
    store = formed(directory, options)
    assert open_at(platter.image()).cluster_id == CLUSTER_ID
    for seq in range(1, 31):
        turn(store, tasks={f"unsynced {seq}": bytes(900)}, applied=Position(1, seq - 1))
        turn(store, entry(seq), state=b"vote %d" % seq)
        store_now = contents(store)
        after = open_at(platter.image())
        assert after.damage is None
        assert contents(after) == store_now, "a synced turn carries all before it"
        after.close()
        store.compact(Position(1, seq))
        turn(store, tasks={f"lost {seq}": b""})
        after = open_at(platter.image())
        assert after.damage is None
        assert after.restored.state == b"vote %d" % seq
        assert after.last == Position(1, seq)
        after.close()
    assert store.base > ORIGIN
    store.close()


def test_a_power_loss_while_a_directory_is_made_leaves_no_damage(
    directory: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    platter = Platter(directory, disk, monkeypatch)
    images: list[Path] = []
    with monkeypatch.context() as patch:
        at_every_step(disk, patch, lambda: images.append(platter.image()))
        formed(directory, disk.options).close()
    disk.on_operation = lambda operation: None
    joined = []
    for left in images:
        again = open_at(left)
        assert again.damage is None
        assert again.roster == ({"a": again.incarnation} if again.cluster_id else {})
        joined.append(bool(again.cluster_id))
        again.close()
    assert joined == sorted(joined) and joined[-1]


def test_a_power_loss_at_any_step_of_an_install_leaves_one_generation_whole(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = formed(tmp_path / "leader")
    turn(leader, *(entry(seq, epoch=3) for seq in range(1, 10)))
    turn(leader, applied=Position(3, 9), tasks={f"{n}": bytes(900) for n in range(50)})
    snapshot = snapshot_of(leader)
    directory = tmp_path / "b"
    platter = Platter(directory, disk, monkeypatch)
    store = formed(directory, disk.options, name="b")
    turn(store, entry(1), state=b"hard state")
    old = contents(store)
    transfer(leader, store, snapshot)
    images: list[Path] = []
    with monkeypatch.context() as patch:
        at_every_step(disk, patch, lambda: images.append(platter.image()))
        store.start_install(snapshot)
        assert finished(store).snapshot == snapshot
        store.switch(snapshot)
        new = contents(store)
        at_switch = len(images)
        turn(store, entry(10, epoch=3))
        images.append(platter.image())
    disk.on_operation = lambda operation: None
    found = []
    for number, left in enumerate(images):
        again = open_at(left, name="b")
        assert again.damage is None
        assert again.restored.state == b"hard state"
        found.append(contents(again) == old)
        if not found[-1] and number < at_switch:
            assert contents(again) == new
        again.close()
    switched = found.index(False)
    assert switched <= at_switch
    assert not any(found[switched:])
    assert log(open_at(images[-1], name="b")) == [entry(10, epoch=3)]
    leader.close()
