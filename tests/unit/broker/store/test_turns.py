"""One turn is one transaction: it is there after a crash whole, or not at all."""

from pathlib import Path

import pytest

from raftwork.broker.store.watermark import read_promised
from raftwork.consensus.core import ORIGIN, Position, Restored
from raftwork.consensus.durable_replica import Store as ReplicaStore
from raftwork.errors import StoreError
from tests.unit.broker.store.kit import (
    CLUSTER_ID,
    Disk,
    contents,
    entry,
    formed,
    image,
    log,
    open_at,
    tasks,
    turn,
)


def test_a_new_store_is_blank(directory: Path) -> None:
    store = open_at(directory)
    replica_side: ReplicaStore = store
    assert replica_side.base == replica_side.last == ORIGIN
    assert store.restored == Restored(None, ORIGIN, {})
    assert store.cluster_id == b""
    assert store.damage is None
    store.close()


def test_a_turn_survives_a_crash(directory: Path) -> None:
    store = formed(directory)
    turn(store, entry(1), entry(2), state=b"vote")
    turn(store, entry(3), applied=Position(1, 2), tasks={"t": b"payload"})
    after_crash = open_at(image(directory))
    assert after_crash.damage is None
    assert after_crash.restored.state == b"vote"
    assert after_crash.restored.applied == Position(1, 2)
    assert log(after_crash) == [entry(1), entry(2), entry(3)]
    assert tasks(after_crash) == {"t": b"payload"}


def test_a_turn_that_was_not_committed_leaves_nothing(directory: Path) -> None:
    store = formed(directory)
    turn(store, entry(1), state=b"vote")
    before = contents(store)
    store.begin(sync=True)
    store.append((entry(2), entry(3)))
    store.save_state(b"another vote")
    store.connection.execute("INSERT INTO task VALUES ('half', x'00')")
    after_crash = open_at(image(directory))
    assert contents(after_crash) == before
    store.rollback()
    assert contents(store) == before
    turn(store, entry(2))
    assert log(store) == [entry(1), entry(2)]


def test_a_clean_close_leaves_everything(directory: Path) -> None:
    store = formed(directory)
    turn(store, entry(1), state=b"vote")
    turn(store, applied=Position(1, 1), tasks={"t": b"p"})  # not synced by itself
    before = contents(store)
    store.close()
    again = open_at(directory)
    assert contents(again) == before
    again.close()


def test_closing_in_the_middle_of_a_turn_leaves_the_turn_before(directory: Path) -> None:
    store = formed(directory)
    turn(store, entry(1), state=b"vote")
    before = contents(store)
    store.begin(sync=True)
    store.append((entry(2),))
    store.close()
    store.close()
    assert contents(open_at(directory)) == before


def test_only_a_turn_that_promises_is_synced(directory: Path, disk: Disk) -> None:
    store = formed(directory, disk.options)
    disk.operations.clear()
    turn(store, applied=ORIGIN, tasks={"t": b""})
    assert not [op for op in disk.operations if op.startswith("sync")]
    for seq in (1, 2):
        disk.operations.clear()
        turn(store, entry(seq))
        assert disk.operations.count("sync state-000001.db-wal") == 1
        turn(store, applied=Position(1, seq))
        assert disk.operations.count("sync state-000001.db-wal") == 1


def test_a_promise_is_noted_after_the_sync_and_only_for_synced_turns(
    directory: Path, disk: Disk
) -> None:
    store = formed(directory, disk.options)
    promised: list[int] = []
    disk.on_synced = lambda path: promised.append(read_promised(directory / "promised"))
    before = read_promised(directory / "promised")
    turn(store, entry(1))
    assert promised == [before]
    assert read_promised(directory / "promised") == before + 1
    turn(store, applied=Position(1, 1))
    assert read_promised(directory / "promised") == before + 1


def test_a_turn_that_writes_nothing_touches_no_disk(directory: Path, disk: Disk) -> None:
    store = formed(directory, disk.options)
    disk.operations.clear()
    turn(store)
    store.compact(ORIGIN)
    assert disk.operations == []


def test_what_is_read_at_open_is_synced_before_it_is_used(directory: Path, disk: Disk) -> None:
    # A crash between a vote's write and its sync: the next process finds the vote, does not write
    # it again, and repeats it to its peers. It has to be on the disk by then.
    store = formed(directory)
    turn(store, tasks={"unsynced": b""})
    left = image(directory)
    again = open_at(left, options=disk.options)
    assert "sync state-000001.db-wal" in disk.operations
    assert "sync state-000001.db" in disk.operations
    assert tasks(again) == {"unsynced": b""}


def test_a_directory_has_one_owner(directory: Path) -> None:
    store = open_at(directory)
    with pytest.raises(StoreError, match=r"is open already, by process [0-9]+"):
        open_at(directory)
    store.close()
    open_at(directory).close()


def test_a_closed_store_refuses_use(directory: Path) -> None:
    store = open_at(directory)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.begin(sync=False)


def test_forming_is_for_good(directory: Path) -> None:
    store = open_at(directory)
    roster = {"a": store.incarnation, "b": b"b" * 16}
    store.form(CLUSTER_ID, roster)
    after_crash = open_at(image(directory))
    assert after_crash.cluster_id == CLUSTER_ID
    assert after_crash.restored.roster == roster
    with pytest.raises(StoreError, match="another cluster"):
        after_crash.form(b"another cluster.", roster)


def test_a_learner_may_be_told_the_roster_again_until_it_has_applied(directory: Path) -> None:
    store = formed(directory)
    newer = {"a": store.incarnation, "b": b"B" * 16}
    store.form(CLUSTER_ID, newer)
    assert store.roster == newer
    turn(store, entry(1))
    turn(store, applied=Position(1, 1))
    with pytest.raises(AssertionError):
        store.form(CLUSTER_ID, {})


def test_a_formation_that_a_crash_cut_short_did_not_happen(directory: Path) -> None:
    store = open_at(directory)
    store.begin(sync=True)
    store.save_roster({"a": store.incarnation})
    store.commit()
    after_crash = open_at(image(directory))
    assert after_crash.cluster_id == b""
    assert after_crash.roster == {}
