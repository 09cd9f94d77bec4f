"""A disk that fails stops the store; what was promised before is there afterwards."""

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from raftwork.broker.store import StoreOptions
from raftwork.consensus.core import Position
from raftwork.errors import StoreDamaged, StoreError
from tests.unit.broker.store.kit import Disk, contents, entry, formed, image, log, open_at, turn

WAL = "state-000001.db-wal"


def _full() -> apsw.Error:
    return apsw.FullError("no space left")


def _io(code: int) -> Callable[[], Exception]:
    return lambda: apsw.exception_for(code)


@pytest.mark.parametrize(
    ("operation", "error", "text"),
    [
        (f"write {WAL}", _full, "FullError"),
        (f"write {WAL}", _io(apsw.SQLITE_IOERR_WRITE), "IOError"),
        (f"sync {WAL}", _io(apsw.SQLITE_IOERR_FSYNC), "IOError"),
    ],
)
def test_a_failed_commit_promises_nothing_and_ends_the_store(
    directory: Path, disk: Disk, operation: str, error: Callable[[], BaseException], text: str
) -> None:
    store = formed(directory, disk.options)
    turn(store, entry(1), state=b"promised")
    before = contents(store)
    disk.fail(operation, error)
    store.begin(sync=True)
    store.append((entry(2),))
    with pytest.raises(StoreError, match=f"disk failed: {text}") as raised:
        store.commit()
    assert not isinstance(raised.value, StoreDamaged)
    store.rollback()
    disk.on_operation = lambda operation: None
    for use in (lambda: store.begin(sync=True), lambda: log(store), store.start_snapshot):
        with pytest.raises(StoreError, match="out of use"):
            use()
    disk.operations.clear()
    store.close()
    # An fsync repeated after a failed one can succeed without having written anything.
    assert disk.operations == []
    again = open_at(directory)
    assert again.damage is None
    assert contents(again)[:2] == before[:2] or log(again) == [entry(1), entry(2)]
    assert log(again)[:1] == [entry(1)]
    assert not (directory / "damaged").exists()


def test_a_failed_checkpoint_ends_the_store_and_loses_nothing(directory: Path, disk: Disk) -> None:
    store = formed(directory, StoreOptions(vfs=disk.vfs, wal_bytes=20 * 4096))

    def fail(operation: str) -> None:
        if operation == "sync state-000001.db":
            raise apsw.exception_for(apsw.SQLITE_IOERR_FSYNC)

    disk.on_operation = fail

    def turns() -> None:
        for seq in range(1, 100):
            turn(store, entry(seq, bytes(4000)))
            store.compact(Position(1, 0))

    with pytest.raises(StoreError, match="disk failed"):
        turns()
    left = open_at(image(directory))
    assert left.damage is None
    assert left.last == store.last > Position(1, 1)


def test_a_full_disk_at_open_is_an_error_not_damage(directory: Path, disk: Disk) -> None:
    store = formed(directory)
    turn(store, entry(1))
    left = image(directory)
    disk.fail("write", _full)
    with pytest.raises(StoreError, match=f"{left}: the disk failed: FullError") as raised:
        open_at(left, options=disk.options)
    assert not isinstance(raised.value, StoreDamaged)
    assert log(open_at(left)) == [entry(1)]


def test_an_unwritable_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="file"):
        open_at(tmp_path / "file")


def test_links_that_lead_nowhere_are_an_error(tmp_path: Path) -> None:
    """It was a traceback."""
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    for path in (tmp_path / "one", tmp_path / "one" / "below"):
        with pytest.raises(StoreError, match="cannot be used: "):
            open_at(path)


def test_the_log_on_disk_stays_bounded(directory: Path) -> None:
    options = StoreOptions(wal_bytes=1 << 20, tail_bytes=1 << 20, segment_bytes=1 << 18)
    store = formed(directory, options)
    largest = 0
    for seq in range(1, 600):
        turn(store, entry(seq, bytes(20_000)))
        turn(store, applied=Position(1, seq))
        store.compact(Position(1, seq))
        largest = max(largest, (directory / WAL).stat().st_size)
    assert largest < 2 << 20
    assert 1 < sum(store.checkpoints.told().counts) < 100, "one is counted where one was due"
    assert (directory / "state-000001.db").stat().st_size < 5 << 20


def test_a_reader_may_hold_the_wal_only_up_to_its_bound(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = StoreOptions(wal_bytes=1 << 19, wal_bytes_max=2 << 20)
    store = formed(directory, options)
    reader = apsw.Connection(str(directory / "state-000001.db"), vfs="cksmvfs")
    reader.execute("BEGIN; SELECT * FROM store_meta").fetchall()

    def interrupt() -> None:
        if reader.in_transaction:
            reader.execute("COMMIT")

    monkeypatch.setattr(store._transfers.helper, "interrupt", interrupt)
    largest = seq = 0
    while reader.in_transaction and seq < 600:
        seq += 1
        turn(store, entry(seq, bytes(20_000)))
        store.compact(Position(1, 0))
        largest = max(largest, (directory / WAL).stat().st_size)
    assert 2 << 20 <= largest < 3 << 20
    assert not reader.in_transaction
    for _ in range(300):
        seq += 1
        turn(store, entry(seq, bytes(20_000)))
        store.compact(Position(1, 0))
    assert (directory / WAL).stat().st_size < 1 << 20, "it is bounded as before"
    reader.close()
