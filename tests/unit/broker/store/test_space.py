"""What tasks took of the disk is given back once they are gone, when nothing else is to be done."""

from pathlib import Path

import apsw
import pytest

from raftwork.broker.store import Store, StoreOptions
from raftwork.broker.store.database import Opener
from raftwork.consensus.core import Position
from tests.unit.broker.store.kit import contents, entry, formed, image, open_at, turn

KIB = 1024
OPTIONS = StoreOptions(spare_bytes=128 * KIB, give_back_bytes=64 * KIB, wal_bytes=256 * KIB)


def _size(store: Store) -> int:
    return store.sizes().database_bytes


def _free(store: Store) -> int:
    pages = store.connection.execute("PRAGMA freelist_count").get
    assert isinstance(pages, int)
    return pages


def _come_and_go(store: Store, count: int = 1_000) -> int:
    """Tasks of 4 KB each, all of them purged again; gives how large the file was."""
    turn(store, tasks={f"{n}": bytes(4_000) for n in range(count)})
    store.compact(Position(1, 0))
    full = _size(store)
    store.begin(sync=False)
    store.connection.execute("DELETE FROM task")
    store.commit()
    store.compact(Position(1, 0))
    return full


def _idle(store: Store, turns: int) -> None:
    for _ in range(turns):
        store.compact(Position(1, 0))


@pytest.fixture
def store(directory: Path) -> Store:
    return formed(directory, OPTIONS)


def test_the_file_shrinks_when_nothing_else_is_to_be_done(store: Store, directory: Path) -> None:
    small = _size(store)
    full = _come_and_go(store)
    assert full > 4_000 * KIB
    _idle(store, full // OPTIONS.give_back_bytes + 10)
    assert _size(store) <= small + OPTIONS.spare_bytes + 64 * KIB
    before = contents(store)
    store.close()
    again = open_at(directory)
    assert again.damage is None
    assert contents(again) == before
    assert again.connection.execute("PRAGMA integrity_check").get == "ok"
    again.close()


def test_a_crash_amid_it_loses_nothing(store: Store, directory: Path) -> None:
    turn(store, entry(1), state=b"vote")
    _come_and_go(store, 300)
    turn(store, applied=Position(1, 1), tasks={"stays": bytes(30_000)})
    before = contents(store)
    for _ in range(30):
        _idle(store, 1)
        left = open_at(image(directory), options=OPTIONS)
        assert left.damage is None
        assert contents(left) == before
        assert left.connection.execute("PRAGMA integrity_check").get == "ok"
        left.close()
    store.close()


def test_turns_that_write_wait_for_none_of_it(store: Store) -> None:
    full = _come_and_go(store)
    for seq in range(1, 100):
        turn(store, entry(seq))
        store.compact(Position(1, 0))
    assert _size(store) == full
    store.close()


def test_a_little_to_spare_is_kept(store: Store) -> None:
    _come_and_go(store, 50)
    turns, free = store._live.meta.turn, _free(store)
    _idle(store, 50)
    assert (store._live.meta.turn, _free(store)) == (turns, free)
    store.close()


def test_one_step_is_a_short_one(store: Store) -> None:
    _come_and_go(store)
    free = _free(store)
    _idle(store, 1)
    assert 0 < free - _free(store) <= OPTIONS.give_back_bytes // 4_096
    store.close()


def test_a_directory_made_without_it_works_as_before(store: Store, directory: Path) -> None:
    turn(store, entry(1), tasks={"a": b"x"})
    before = contents(store)
    store.close()
    old = apsw.Connection(str(directory / "state-000001.db"), vfs="cksmvfs")
    for line in ("journal_mode=DELETE", "auto_vacuum=NONE"):
        old.execute(f"PRAGMA {line}")
    old.execute("VACUUM")
    old.execute("PRAGMA journal_mode=WAL")
    assert old.execute("PRAGMA auto_vacuum").get == 0
    old.close()
    again = open_at(directory, options=OPTIONS)
    assert again.damage is None
    assert contents(again) == before
    full = _come_and_go(again)
    turns = again._live.meta.turn
    _idle(again, 100)
    assert _size(again) == full
    assert again._live.meta.turn == turns, "it does not try again and again"
    again.close()


def test_to_open_a_database_writes_nothing_into_it(store: Store, directory: Path) -> None:
    """What is found there has not been verified, and may have to be put aside as it is."""
    path = directory / "state-000001.db"
    _come_and_go(store, count=10)
    store.close()

    def held() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in (path, Path(f"{path}-wal")) if p.exists()}

    before = held()
    connection = Opener(checksums=True, options=OPTIONS).open(path)
    assert connection.execute("PRAGMA auto_vacuum").get == 2
    connection.close()
    assert {name: data for name, data in held().items() if data} == {
        name: data for name, data in before.items() if data
    }
