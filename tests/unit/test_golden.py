"""What earlier releases wrote is read as it was meant: see tests/golden."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from raftwork.broker.machine import Machine, create_or_migrate
from raftwork.broker.machine.commands import (
    Assign,
    Command,
    Finish,
    Tick,
    decode_batch,
    encode_batch,
)
from raftwork.broker.store.database import Opener
from raftwork.broker.store.options import StoreOptions
from raftwork.broker.store.snapshots import prepare_generation, write_snapshot
from raftwork.consensus.core import Position, Snapshot
from raftwork.features.effects import Done
from raftwork.features.enqueue import Admit
from raftwork.features.upgrade import Raise
from raftwork.messages import Spec, State, encode_spec
from raftwork.release import LEVELS, RELEASE
from raftwork.wire import pack
from tests.golden.history import HALF, HISTORY
from tests.golden.shape import (
    CODECS,
    HERE,
    apply,
    history,
    means,
    open_golden,
    read_json,
    records,
    unpack_directory,
)

RELEASES = sorted(path.parent.name for path in HERE.glob("*/records.json"))
OPENER = Opener(checksums=True, options=StoreOptions())
AGAIN = "`python -m tests.golden` writes a new release's (`--again` as long as it is not out)"

every = pytest.mark.parametrize("release", RELEASES)


# ---- since 0.2.0 --------------------------------------------------------------------------------


def test_this_release_has_its_files_and_they_are_what_it_writes() -> None:
    assert RELEASE in RELEASES, AGAIN
    assert read_json(HERE / RELEASE / "records.json") == records(), AGAIN
    assert read_json(HERE / RELEASE / "history.json") == {"level": LEVELS.most, **history()}, AGAIN


@every
def test_every_record_is_read_as_it_was_meant(release: str) -> None:
    for part, stored in read_json(HERE / release / "records.json").items():
        codec = CODECS[part]
        for record in stored:
            value = codec.decode(bytes.fromhex(record["packed"]))
            assert codec.plain(value)[0] == record["tag"], record["name"]
            assert means(record["fields"], value), record["name"]


@every
def test_a_level_means_for_ever_what_it_meant(release: str) -> None:
    """The same entries at the same level make the same rows, whatever has been added since."""
    db = OPENER.open(Path(":memory:"), create=True)
    create_or_migrate(db)
    machine, stored = Machine(db), read_json(HERE / release / "history.json")
    assert stored["level"] in LEVELS
    for entry, digest in zip(stored["entries"], stored["digests"], strict=True):
        machine.apply(bytes.fromhex(entry))
        assert machine.digest().hex() == digest, decode_batch(bytes.fromhex(entry))


@every
def test_a_directory_is_opened_with_all_that_it_holds(release: str, tmp_path: Path) -> None:
    stored = read_json(HERE / release / "history.json")
    store = open_golden(unpack_directory(HERE / release / "directory.tar.gz", tmp_path))
    assert store.damage is None
    assert store.identity.release == RELEASE
    assert [e.data.hex() for e in store.entries(Position(0, 0), 1 << 30)] == stored["entries"]
    assert Machine(store.connection).digest().hex() == stored["digests"][-1]
    assert store.roster.keys() == {"a", "b", "c"}
    store.close()


@every
def test_a_snapshot_is_installed(release: str, tmp_path: Path) -> None:
    facts = read_json(HERE / release / "snapshot.json")
    snapshot = Snapshot(Position(*facts["at"]), facts["size"], bytes.fromhex(facts["digest"]))
    staged = tmp_path / "staged.db"
    staged.write_bytes(gzip.decompress((HERE / release / "snapshot.db.gz").read_bytes()))
    assert installed(staged, snapshot, tmp_path).hex() == last_digest(release)


def last_digest(release: str) -> Any:
    return read_json(HERE / release / "history.json")["digests"][-1]


def installed(staged: Path, snapshot: Snapshot, directory: Path) -> bytes:
    """The digest of what becomes of a snapshot."""
    target = directory / "state-000007.db"
    prepare_generation(snapshot, staged, target, OPENER, create_or_migrate, lambda: False)
    connection = OPENER.open(target)
    try:
        return Machine(connection).digest()
    finally:
        connection.close()


# ---- 0.1.0 --------------------------------------------------------------------------------------


def test_replicas_of_0_1_0_come_to_one_state_wherever_each_of_them_stopped(tmp_path: Path) -> None:
    """One had applied all of its log, one half of it; a third gets a snapshot."""
    digests = {}
    made, snapshot = tmp_path / "snapshot.db", None
    for name, applied in (("a", len(HISTORY)), ("b", HALF)):
        directory = unpack_directory(HERE / "0.1.0" / f"{name}.tar.gz", tmp_path / name)
        store = open_golden(directory, name)
        assert store.damage is None and store.applied.seq == applied
        machine = Machine(store.connection)
        assert (machine.level, machine.time) == (0, HISTORY[applied - 1][0])
        if name == "a":
            assert {task.id for task in machine.waiting("default", 0, 99, 1 << 20)} == {
                *("plain 5", "plain 6")
            }
            assert {run.id for run in machine.running()} == {"plain 4", "once 2"}
            assert machine.states(["plain 1", "late 1", "once 1", "brief 1"]) == [
                *(State.SUCCEEDED, State.FAILED, State.LOST, State.SUCCEEDED)
            ]
            snapshot = write_snapshot(store._live.path, made, OPENER, lambda: False)
        digests[name] = apply(store).digest()
        store.close()
    assert snapshot is not None
    digests["c"] = installed(made, snapshot, tmp_path)
    assert digests["a"] == digests["b"] == digests["c"]


def test_a_directory_of_0_1_0_is_converted_once(tmp_path: Path) -> None:
    directory = unpack_directory(HERE / "0.1.0" / "a.tar.gz", tmp_path)
    store = open_golden(directory)
    turn = store._live.meta.turn
    store.close()
    for _ in range(2):
        store = open_golden(directory)
        assert store._live.meta.turn == turn
        store.close()


# ---- an upgrade ---------------------------------------------------------------------------------


def test_a_directory_of_0_2_0_is_raised_to_level_2_and_all_its_tasks_are_served(
    tmp_path: Path,
) -> None:
    store = open_golden(unpack_directory(HERE / "0.2.0" / "directory.tar.gz", tmp_path))
    machine = Machine(store.connection)
    assert machine.level == 1
    ids = [id_ for (id_,) in store.connection.execute("SELECT id FROM task ORDER BY seq")]
    before = dict(zip(ids, machine.states(ids), strict=True))
    assert set(before.values()) == {State(n) for n in range(State.QUEUED, State.CANCELLED)}

    def apply(*commands: Command, later: int = 0) -> None:
        replies = machine.apply(encode_batch(machine.time + later, commands)).replies
        assert replies == [Done()] * len(commands)

    apply(Raise(2, RELEASE))
    assert dict(zip(ids, machine.states(ids), strict=True)) == before
    machine.flush()
    assert Machine(store.connection).digest() == machine.digest()

    # What runs ends, what waits for a retry and what waits is handed out, and new tasks come in.
    apply(Finish([(run.token, b"v") for run in machine.running()]))
    apply(Tick(), later=60_000)
    later = encode_spec(Spec("new", "default", delay=5, expires=500))
    apply(Admit(machine.time, later, pack([["new", b""]])))
    apply(Tick(), later=5)
    waiting = [
        task.seq for status in machine.queues() for task in machine.waiting(status.name, 0, 99, 99)
    ]
    waiting += [
        task.seq
        for number, *_ in machine.lanes("default")
        for task in machine.in_lane(number, 0, 99, 99)
    ]
    apply(Assign(b"w" * 16, waiting))
    apply(Finish([(run.token, b"v") for run in machine.running()]))
    ended = machine.states([*ids, "new"])
    assert all(state.final for state in ended) and ended[-1] is State.SUCCEEDED
    assert all(status.queued == status.running == 0 for status in machine.queues())
    store.close()
