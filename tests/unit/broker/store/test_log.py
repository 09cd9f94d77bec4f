"""The log: ordered by (epoch, seq), read in bounded batches, rewound and compacted."""

from pathlib import Path
from random import Random

import apsw
import pytest

from raftwork.broker.store import Store, StoreOptions
from raftwork.consensus.core import ORIGIN, Entry, Position
from raftwork.errors import StoreDamaged
from tests.unit.broker.store.kit import entry, formed, image, log, open_at, turn


def test_entries_are_read_after_a_position_up_to_a_size(directory: Path) -> None:
    store = formed(directory)
    entries = [entry(seq, bytes(100)) for seq in range(1, 11)]
    turn(store, *entries)
    assert store.entries(ORIGIN, 1_000) == entries
    assert store.entries(ORIGIN, 999) == entries[:9]
    assert store.entries(Position(1, 4), 250) == entries[4:6]
    assert store.entries(Position(1, 4), 0) == entries[4:5]
    assert store.entries(Position(1, 10), 1_000) == []


def test_entries_shows_what_the_open_transaction_wrote(directory: Path) -> None:
    store = formed(directory)
    store.begin(sync=True)
    store.append((entry(1),))
    assert store.last == Position(1, 1)
    assert log(store) == [entry(1)]
    store.rewind(ORIGIN)
    store.append((entry(1, b"other", epoch=2),))
    assert log(store) == [entry(1, b"other", epoch=2)]
    store.commit()


def test_positions_are_ordered_by_epoch_first_and_may_restart(directory: Path) -> None:
    # As Zab counts: every epoch begins at 1 again.
    store = formed(directory)
    entries = [entry(s, epoch=e) for e in (1, 2, 5) for s in (1, 2, 3)]
    turn(store, *entries)
    assert log(store) == entries
    assert list(store.epochs()) == [Position(1, 1), Position(2, 1), Position(5, 1)]
    assert store.entries(Position(1, 3), 1 << 20) == entries[3:]
    assert store.entries(Position(2, 0), 1 << 20) == entries[3:]  # not a position of the log
    store.begin(sync=True)
    store.rewind(Position(2, 2))
    store.commit()
    assert store.last == Position(2, 2)
    assert list(store.epochs()) == [Position(1, 1), Position(2, 1)]
    assert log(store) == entries[:5]


def test_a_rewind_below_what_is_applied_is_a_bug(directory: Path) -> None:
    store = formed(directory)
    turn(store, entry(1), entry(2))
    turn(store, applied=Position(1, 2))
    store.begin(sync=True)
    with pytest.raises(AssertionError):
        store.rewind(Position(1, 1))


def test_appending_out_of_order_is_a_bug(directory: Path) -> None:
    store = formed(directory)
    turn(store, entry(1))
    store.begin(sync=True)
    with pytest.raises(AssertionError):
        store.append((entry(1),))


SMALL = StoreOptions(tail_entries=20, tail_bytes=1 << 20, segment_entries=10)


def _fill(store: Store, count: int, size: int = 10) -> None:
    turn(store, *(entry(seq, bytes(size)) for seq in range(1, count + 1)))


def test_compaction_goes_a_segment_at_a_time_and_keeps_the_tail(directory: Path) -> None:
    store = formed(directory, SMALL)
    _fill(store, 55)
    turn(store, applied=Position(1, 55))
    bases = [store.compact(Position(1, 55)) for _ in range(5)]
    assert bases == [Position(1, n) for n in (10, 20, 30, 30, 30)]
    assert log(store) == [entry(n, bytes(10)) for n in range(31, 56)]
    assert (store.sizes().log_entries, store.sizes().log_bytes) == (25, 250)
    assert list(store.epochs()) == [Position(1, 31)]
    after_crash = open_at(image(directory))
    assert after_crash.base in (Position(1, 20), Position(1, 30))


def test_compaction_stops_at_what_is_applied_and_at_what_the_core_allows(directory: Path) -> None:
    store = formed(directory, SMALL)
    _fill(store, 100)
    assert store.compact(Position(1, 100)) == ORIGIN
    turn(store, applied=Position(1, 25))
    for _ in range(5):
        store.compact(Position(1, 15))
    assert store.base == Position(1, 10)
    for _ in range(5):
        store.compact(Position(1, 100))
    assert store.base == Position(1, 20)


def test_the_tail_is_bounded_in_bytes_too(directory: Path) -> None:
    options = StoreOptions(tail_bytes=5_000, segment_bytes=1_000)
    store = formed(directory, options)
    _fill(store, 100, size=100)
    turn(store, applied=Position(1, 100))
    for _ in range(20):
        store.compact(Position(1, 100))
    assert store.base == Position(1, 50)


def test_a_store_behaves_like_a_list_of_entries(directory: Path) -> None:
    rng = Random(7)
    options = StoreOptions(tail_entries=15, segment_entries=5, segment_bytes=300)
    store = formed(directory, options)
    model: list[Entry] = []
    base = applied = ORIGIN
    epoch = 1
    for _ in range(300):
        store.begin(sync=True)
        above = [e.at for e in model if e.at >= applied] or [applied]
        if rng.random() < 0.3:
            to = rng.choice(above)
            store.rewind(to)
            model = [e for e in model if e.at <= to]
        epoch += rng.random() < 0.2
        last = model[-1].at if model else base
        first = last.seq + 1
        new = tuple(
            entry(first + n, rng.randbytes(rng.randrange(200)), epoch)
            for n in range(rng.randrange(4))
        )
        if new:
            store.append(new)
            model += new
        if model and rng.random() < 0.5:
            applied = rng.choice([e.at for e in model if e.at >= applied] or [applied])
            store.save_applied(applied)
        if rng.random() < 0.9:
            store.commit()
        else:
            store.commit()
            store.close()
            store = open_at(directory, options=options)
        base = store.compact(applied)
        model = [e for e in model if e.at > base]
        assert (store.base, log(store)) == (base, model)
        starts: dict[int, Position] = {}
        for e in model:
            starts.setdefault(e.at.epoch, e.at)
        assert list(store.epochs()) == list(starts.values())
    assert base > ORIGIN


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE store_log SET data = x'00' WHERE seq = 50",
        "UPDATE store_log SET kind = 0 WHERE seq = 50",
        "UPDATE store_log SET data = 'text' WHERE seq = 50",
        "UPDATE store_log SET epoch = 0, data = data WHERE seq = 1",
        "DELETE FROM store_log WHERE seq = 50",
        "DELETE FROM store_log WHERE seq = 1",
        "DELETE FROM store_log WHERE seq = 100",
    ],
)
def test_a_changed_or_missing_entry_is_never_read_as_sound(directory: Path, change: str) -> None:
    store = formed(directory)
    _fill(store, 100)
    store.connection.execute(change)
    with pytest.raises(StoreDamaged):
        log(store)
    store.close()
    again = open_at(directory)
    assert again.damage is not None
    assert again.last == ORIGIN


def test_a_gap_is_noticed_even_if_the_counts_agree(directory: Path) -> None:
    store = formed(directory, StoreOptions(verify_bytes=0))
    _fill(store, 100)
    store.connection.execute(
        "DELETE FROM store_log WHERE seq = 50;"
        "INSERT INTO store_log SELECT epoch, 0, kind, data, crc FROM store_log WHERE seq = 51"
    )
    with pytest.raises(StoreDamaged):
        store.entries(Position(1, 49), 1 << 20)


def test_reading_the_log_uses_its_index(directory: Path) -> None:
    store = formed(directory)
    cursor: apsw.Cursor = store.connection.execute(
        "EXPLAIN QUERY PLAN SELECT * FROM store_log WHERE (epoch, seq) > (1, 2) ORDER BY epoch, seq"
    )
    plan = str(cursor.fetchall())
    assert "SEARCH" in plan
    assert "TEMP B-TREE" not in plan
