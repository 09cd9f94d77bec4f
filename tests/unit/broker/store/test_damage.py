"""Damage is noticed or harmless: what was promised is never silently lost."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from raftwork.broker.store import Store, StoreOptions
from raftwork.broker.store.watermark import Promised, read_promised
from raftwork.consensus.core import ORIGIN, Position, Restored
from raftwork.errors import StoreDamaged, StoreError
from tests.unit.broker.store.kit import (
    CLUSTER_ID,
    THREE,
    contents,
    entry,
    formed,
    image,
    log,
    open_at,
    tasks,
    turn,
)

DB = "state-000001.db"
WAL = "state-000001.db-wal"
BLANK = Restored(None, ORIGIN, {})


def _lived_in(directory: Path) -> Store:
    """A store with some of its turns in the database file and some in the write-ahead log."""
    store = formed(directory)
    for seq in range(1, 25):
        turn(store, entry(seq, bytes([seq]) * 500), state=b"vote %d" % seq)
        turn(store, applied=Position(1, seq), tasks={f"task {seq}": bytes([seq]) * 300})
        if seq == 12:
            store.close()
            store = open_at(directory)
    turn(store, entry(25), state=b"the last vote")
    return store


def _flip(path: Path, position: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ (1 << bit)]))


def _positions(size: int, head: int, count: int) -> Iterator[int]:
    """Every byte of the head, and `count` more anywhere."""
    yield from range(head)
    rng = Random(size)
    yield from (rng.randrange(size) for _ in range(count))


def _noticed(pristine: Path, file: str, position: int, expected: tuple[object, ...]) -> bool:
    """Whether a flipped bit was; if not, it must have done no harm."""
    broken = image(pristine)
    _flip(broken / file, position, position % 8)
    store = open_at(broken)
    try:
        if store.damage is not None:
            assert (store.restored, tasks(store)) == (BLANK, {})
            return True
        try:
            assert contents(store) == expected, f"bit flipped in byte {position} of {file}"
        except StoreDamaged:
            return True
    finally:
        store.close()
        shutil.rmtree(broken)
    return False


def test_a_flipped_bit_in_the_wal_is_noticed_or_harmless(directory: Path) -> None:
    store = _lived_in(directory)
    pristine, expected = image(directory), contents(store)
    size = (pristine / WAL).stat().st_size
    found = [_noticed(pristine, WAL, p, expected) for p in _positions(size, 56, 400)]
    assert found.count(True) > 250


def test_a_flipped_bit_in_the_database_is_noticed_or_harmless(directory: Path) -> None:
    store = _lived_in(directory)
    expected = contents(store)
    store.close()
    pristine = image(directory)
    size = (pristine / DB).stat().st_size
    found = [_noticed(pristine, DB, p, expected) for p in _positions(size, 100, 400)]
    assert found.count(True) > 250


def test_page_checksums_cannot_be_turned_off_by_a_flipped_bit(directory: Path) -> None:
    store = _lived_in(directory)
    store.close()
    with (directory / DB).open("r+b") as file:  # the bytes reserved at the end of every page
        file.seek(20)
        file.write(b"\0")
    again = open_at(directory)
    assert again.damage is not None
    assert "page checksums" in again.damage


def test_a_database_keeps_its_page_checksums_whatever_is_asked_for_later(directory: Path) -> None:
    store = _lived_in(directory)
    store.close()
    plain = open_at(directory, checksums=False)
    turn(plain, tasks={f"later {n}": bytes(400) for n in range(50)})
    expected = contents(plain)
    plain.close()
    again = open_at(directory)
    assert again.damage is None
    assert contents(again) == expected
    again.close()
    pristine = image(directory)
    assert _noticed(pristine, DB, (directory / DB).stat().st_size - 2_000, expected)


def test_without_page_checksums_votes_and_log_are_still_checked(tmp_path: Path) -> None:
    store = open_at(tmp_path / "data", checksums=False)
    store.form(CLUSTER_ID, {"a": store.incarnation})
    for seq in range(1, 40):
        turn(store, entry(seq, bytes([seq]) * 500), state=b"vote %d" % seq)
    expected = contents(store)
    store.close()
    size = (tmp_path / "data" / DB).stat().st_size
    for position in _positions(size, 0, 300):
        broken = image(tmp_path / "data")
        _flip(broken / DB, position, position % 8)
        try:
            again = open_at(broken, checksums=False)
            if again.damage is None:
                assert (again.restored, again.base, again.last, log(again)) == expected[:4]
            again.close()
        except StoreError:
            pass


def test_a_lost_end_of_what_was_promised_is_noticed(directory: Path) -> None:
    store = _lived_in(directory)
    lost = image(directory)
    with (lost / WAL).open("r+b") as file:
        file.truncate((lost / WAL).stat().st_size - 1)
    again = open_at(lost)
    assert again.damage is not None
    assert "promised" in again.damage
    assert store.restored.state == b"the last vote"


def test_a_torn_end_that_was_never_promised_is_cut(directory: Path) -> None:
    store = formed(directory)
    turn(store, entry(1), state=b"promised")
    before = contents(store)
    promised = (directory / "promised").read_bytes()
    start = (directory / WAL).stat().st_size
    turn(store, entry(2), state=b"not promised")
    after = contents(store)
    end = (directory / WAL).stat().st_size
    for size in (*range(start, end, 1_777), end - 1, end):
        torn = image(directory)
        (torn / "promised").write_bytes(promised)
        with (torn / WAL).open("r+b") as file:
            file.truncate(size)
        again = open_at(torn)
        assert again.damage is None
        assert contents(again) == (after if size == end else before)
        again.close()


def test_a_checkpoint_of_unsynced_turns_cannot_leave_a_mixture(directory: Path) -> None:
    # Frames already copied into the database stay in the log until it starts again. Damage in
    # the middle of them brings old pages back to life over newer ones.
    options = StoreOptions(wal_bytes=64 * 4096)
    store = formed(directory, options)
    turn(store, entry(1))
    number = 0
    while (directory / DB).stat().st_size < 60_000:  # until the first checkpoint
        number += 1
        turn(store, applied=Position(1, 1), tasks={f"{number * 7919 % 1000}": bytes(400)})
        store.compact(ORIGIN)
    pristine, expected = image(directory), contents(store)
    found = [
        _noticed(pristine, WAL, position, expected)
        for position in range(100, (pristine / WAL).stat().st_size, 4096 + 24)
    ]
    assert found.count(True) > 30


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda d: (d / DB).unlink(), "missing"),
        (lambda d: (d / "promised").unlink(), "promised is missing"),
        (lambda d: _flip(d / "promised", 10, 1), "promised contradicts"),
        (lambda d: (d / "promised").write_bytes(b""), "0 bytes"),
        (lambda d: (d / "CURRENT").unlink(), "CURRENT is missing"),
        (lambda d: (d / "CURRENT").write_bytes(b"\xff"), "CURRENT names no generation"),
        (lambda d: (d / DB).write_bytes(b"nothing like it" * 1000), "the database"),
        (lambda d: (d / DB).write_bytes(b""), "metadata"),
    ],
)
def test_damaged_contents_are_put_aside_for_a_fresh_incarnation(
    directory: Path, harm: Callable[[Path], object], reason: str
) -> None:
    store = _lived_in(directory)
    store.close()
    before = store.identity
    harm(directory)
    again = open_at(directory)
    assert again.damage is not None
    assert reason in again.damage
    # It rejoins its cluster as a learner; an empty cluster id could take part in a formation.
    assert again.restored == BLANK
    assert again.cluster_id == CLUSTER_ID
    assert again.incarnation != before.incarnation
    turn(again, entry(1), state=b"a new life")
    again.close()
    once_more = open_at(directory)
    assert once_more.damage is None
    assert once_more.incarnation == again.incarnation
    assert log(once_more) == [entry(1)]


def test_only_the_newest_contents_put_aside_are_kept(directory: Path) -> None:
    formed(directory).close()
    for _ in range(3):
        store = open_at(directory)
        turn(store, entry(1))
        store.close()
        number = max(int(p.stem.removeprefix("state-")) for p in directory.glob("state-*.db"))
        _flip(directory / "promised", 10, 1)
        open_at(directory).close()
        assert [p.name for p in directory.glob("damaged*")] == [f"damaged-{number:06}"]
        assert (directory / f"damaged-{number:06}" / f"state-{number:06}.db").exists()


def test_the_only_replica_stops_and_nothing_is_changed(directory: Path) -> None:
    alone = {"a": THREE["a"]}
    store = open_at(directory, cluster=alone)
    store.form(CLUSTER_ID, {"a": store.incarnation})
    turn(store, entry(1))
    store.close()
    _flip(directory / "promised", 10, 1)
    before = {p.name: p.read_bytes() for p in directory.iterdir() if p.name != "lock"}
    for _ in range(2):
        with pytest.raises(StoreDamaged, match=r"only replica.*Nothing was changed"):
            open_at(directory, cluster=alone)
    after = {p.name: p.read_bytes() for p in directory.iterdir() if p.name != "lock"}
    assert after == before


def test_damage_met_while_running_stops_the_store_and_marks_the_directory(directory: Path) -> None:
    store = _lived_in(directory)
    store.connection.execute("UPDATE store_log SET crc = 0 WHERE seq = 3")
    with pytest.raises(StoreDamaged, match="checksum"):
        log(store)
    with pytest.raises(StoreDamaged, match="out of use"):
        store.begin(sync=True)
    store.close()
    # Repaired or not, what was once found damaged is not trusted again.
    again = open_at(directory)
    assert again.damage is not None
    assert "checksum" in again.damage
    again.close()
    assert open_at(directory).damage is None


def test_the_machines_reads_are_guarded_too(directory: Path) -> None:
    store = _lived_in(directory)
    page = int(
        str(store.connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'task'").get)
    )
    store.close()
    _flip(directory / DB, page * 4096 - 2000, 1)
    again = open_at(directory)
    with pytest.raises(StoreDamaged):
        tasks(again)
    with pytest.raises(StoreDamaged):
        log(again)
    assert (directory / "damaged").exists()


def test_a_crash_while_starting_over_leads_back_to_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _lived_in(directory)
    store.close()
    _flip(directory / "promised", 10, 1)
    old = store.incarnation
    images: list[Path] = []
    real = shutil.copyfile, Path.replace, Path.unlink

    def replace(self: Path, target: Path) -> Path:
        images.append(image(directory))
        done = real[1](self, target)
        images.append(image(directory))
        return done

    def unlink(self: Path, missing_ok: bool = False) -> None:
        images.append(image(directory))
        real[2](self, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        patch.setattr(Path, "unlink", unlink)
        open_at(directory).close()
    assert len(images) > 8
    for left in images:
        again = open_at(left)
        assert again.restored == BLANK
        assert again.incarnation != old
        assert again.cluster_id == CLUSTER_ID
        again.close()
        aside = [p for p in left.glob("damaged-*") if (p / "state-000001.db").exists()]
        assert aside, "the evidence is kept"


def test_promises_only_grow(tmp_path: Path) -> None:
    store = formed(tmp_path / "data")
    store.close()
    path = tmp_path / "data" / "promised"
    promised = Promised(path)
    promised.raise_to(1_000)
    assert read_promised(path) == 1_000
    with pytest.raises(AssertionError):
        promised.raise_to(999)
    promised.close()


def test_the_identity_can_be_read_by_people(directory: Path) -> None:
    formed(directory).close()
    fields = json.loads((directory / "identity.json").read_text())
    assert fields["name"] == "a"
    assert fields["cluster"] == THREE
