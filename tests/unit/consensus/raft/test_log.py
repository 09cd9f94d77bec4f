"""The in-memory view of the log against a plain list."""

from hypothesis import given
from hypothesis import strategies as st

from raftwork.consensus.core import ORIGIN, Entry, Kind, Position
from raftwork.consensus.raft.log import RaftLog
from tests.sim.store import Disk, Image, MemoryStore


def entry(term: int, index: int, size: int = 1) -> Entry:
    return Entry(Position(term, index), Kind.DATA, bytes(size))


def view(*terms: int, tail_bytes: int = 1_000) -> tuple[RaftLog, MemoryStore]:
    """A log whose stored entries have these terms."""
    entries = tuple(entry(term, index) for index, term in enumerate(terms, 1))
    store = MemoryStore(Disk(Image(entries=entries)))
    return RaftLog(store, tail_bytes), store


def write(log: RaftLog, store: MemoryStore) -> None:
    """Carry out what the log wants written."""
    rewind, fresh = log.take()
    store.begin(sync=True)
    if rewind is not None:
        store.rewind(rewind)
    if fresh:
        store.append(fresh)
    store.commit()
    if fresh:
        log.written(fresh[-1].at)


def test_terms_are_known_by_their_ranges() -> None:
    log, _ = view(1, 1, 3, 3, 3, 6)

    assert [log.term(index) for index in range(7)] == [0, 1, 1, 3, 3, 3, 6]


def test_the_newest_entry_of_a_bounded_term() -> None:
    log, _ = view(1, 1, 3, 3, 3, 6)

    assert log.find_conflict_by_term(6, 6) == (6, 6)
    assert log.find_conflict_by_term(9, 5) == (3, 5)
    assert log.find_conflict_by_term(4, 3) == (3, 4)
    assert log.find_conflict_by_term(6, 2) == (1, 2)
    assert log.find_conflict_by_term(6, 0) == ORIGIN


def test_nothing_is_claimed_below_what_is_compacted() -> None:
    log, _ = view(1, 1, 3, 3, 6)
    log.compact(Position(3, 4))

    assert log.find_conflict_by_term(5, 3) == (3, 4)
    assert log.find_conflict_by_term(5, 2) == ORIGIN
    assert log.find_conflict_by_term(3, 6) == ORIGIN
    assert not log.holds(Position(1, 2))
    assert log.holds(Position(3, 4))


def test_what_is_not_written_is_read_from_memory() -> None:
    log, _ = view(1, 1)
    log.append([entry(2, 3), entry(2, 4)])

    assert [e.at.seq for e in log.entries(0, 4, 10_000)] == [1, 2]
    assert [e.at.seq for e in log.entries(2, 4, 10_000)] == [3, 4]


def test_a_rewind_on_its_way_hides_what_the_store_still_has() -> None:
    log, store = view(1, 1, 1, 1)
    log.truncate(2)
    log.append([entry(2, 3)])

    assert store.last == (1, 4)
    assert [e.at for e in log.entries(0, 3, 10_000)] == [(1, 1), (1, 2)]
    assert [e.at for e in log.entries(2, 3, 10_000)] == [(2, 3)]
    assert log.take() == (Position(1, 2), (entry(2, 3),))


def test_an_entry_cut_off_before_it_was_written_is_never_written() -> None:
    log, _ = view(1)
    log.append([entry(1, 2), entry(1, 3)])
    log.truncate(2)

    assert log.take() == (None, (entry(1, 2),))


def test_the_sync_of_an_entry_that_was_cut_off_since_proves_nothing() -> None:
    """The late word of a write must not vouch for another entry at the same index (ABA)."""
    log, _ = view(1)
    log.append([entry(1, 2)])
    log.take()
    log.truncate(1)
    log.append([entry(2, 2)])

    log.written(Position(1, 2))

    assert log.durable == 1


def test_a_single_entry_goes_however_large_it_is() -> None:
    log, _ = view()
    log.append([entry(1, 1, 500), entry(1, 2, 500)])

    assert [e.at.seq for e in log.entries(0, 2, 10)] == [1]


def test_memory_lets_go_of_what_is_written_and_applied_only() -> None:
    log, store = view(tail_bytes=100)
    log.append([entry(1, index) for index in range(1, 21)])
    log.trim(20)
    held = log.bytes_after(0)
    write(log, store)
    log.trim(12)
    partly = log.bytes_after(0)
    log.trim(20)

    assert held == 20 * 33
    assert partly == 8 * 33
    assert log.bytes_after(0) <= 2 * 100
    assert [e.at.seq for e in log.entries(0, 20, 10_000)][:3] == [1, 2, 3]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2), st.integers(1, 4)),
        st.tuples(st.just("truncate"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("write"), st.just(0), st.just(0)),
        st.tuples(st.just("trim"), st.just(0), st.just(0)),
        st.tuples(st.just("compact"), st.integers(0, 30), st.just(0)),
    ),
    max_size=30,
)


@given(steps)
def test_it_is_a_list(todo: list[tuple[str, int, int]]) -> None:
    log, store = view(tail_bytes=70)
    model: list[Entry] = []
    for what, x, y in todo:
        if what == "append":
            term = (model[-1].at.epoch if model else 1) + x
            fresh = [entry(term, len(model) + 1 + i) for i in range(y)]
            log.append(fresh)
            model.extend(fresh)
        elif what == "truncate":
            to = max(log.base.seq, min(x, len(model)))
            log.truncate(to)
            del model[to:]
        elif what == "write":
            write(log, store)
        elif what == "trim":
            log.trim(len(model))
        elif what == "compact":
            write(log, store)
            upto = min(x, len(model))
            if upto > log.base.seq:
                at = model[upto - 1].at
                store.applied = at
                store._tail = 0
                log.compact(store.compact(at))
        assert log.last == (model[-1].at if model else ORIGIN)
        after = log.base.seq
        read: list[Entry] = []
        while after < len(model):
            read.extend(log.entries(after, len(model), 100))
            after = read[-1].at.seq
        assert read == model[log.base.seq :]
        assert all(log.term(e.at.seq) == e.at.epoch for e in read)
    write(log, store)
    assert store.image().entries == tuple(model[log.base.seq :])
