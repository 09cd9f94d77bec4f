"""A snapshot that fails is nobody's end: neither its maker's nor its receiver's."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raftwork.broker.store import Store, snapshot_transfers
from raftwork.broker.store.snapshots import write_snapshot
from raftwork.consensus.core import Position
from raftwork.consensus.durable_replica import Background
from tests.unit.broker.store.kit import (
    entry,
    finished,
    formed,
    snapshot_of,
    tasks,
    transfer,
    turn,
)

#: What nobody thought of: the first is what a relative directory once raised.
ERRORS = [ValueError, AssertionError, RecursionError, MemoryError, OSError, UnicodeDecodeError]


@pytest.fixture
def leader(tmp_path: Path) -> Iterator[Store]:
    store = formed(tmp_path / "leader")
    turn(store, entry(1))
    turn(store, applied=Position(1, 1), tasks={"task": bytes(3_000)})
    yield store
    store.close()


@pytest.fixture
def learner(tmp_path: Path) -> Iterator[Store]:
    store = formed(tmp_path / "learner", name="b")
    yield store
    store.close()


def _raising(error: type[Exception]) -> Callable[..., object]:
    def work(*_: object) -> object:
        if error is UnicodeDecodeError:
            return b"\xff".decode()
        raise error("simulated")

    return work


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_making_a_snapshot_raises_is_logged_and_no_snapshot(
    leader: Store,
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(snapshot_transfers, "write_snapshot", _raising(error))
        leader.start_snapshot()
        assert finished(leader) == Background(made=True, snapshot=None)
    assert "no snapshot could be made" in caplog.text
    assert ("Traceback" in caplog.text) == (error is not OSError)
    turn(leader, entry(2))
    assert snapshot_of(leader).at == Position(1, 1)


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_preparing_a_generation_raises_is_logged_and_no_install(
    leader: Store, learner: Store, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = snapshot_of(leader)
    transfer(leader, learner, snapshot)
    with monkeypatch.context() as patched:
        patched.setattr(snapshot_transfers, "prepare_generation", _raising(error))
        learner.start_install(snapshot)
        assert finished(learner) == Background(made=False, snapshot=None)
    transfer(leader, learner, snapshot)
    learner.start_install(snapshot)
    assert finished(learner) == Background(made=False, snapshot=snapshot)
    learner.switch(snapshot)
    assert tasks(learner) == tasks(leader)


def test_a_name_that_is_taken_ends_nobody(leader: Store, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "leader" / f"snapshot-{number}.db").mkdir()
        leader.start_snapshot()
        assert finished(leader) == Background(made=True, snapshot=None)
    assert snapshot_of(leader).at == Position(1, 1)


def test_a_snapshot_whose_file_is_gone_or_cut_short_is_not_served(
    leader: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = snapshot_of(leader)
    with (tmp_path / "leader" / "snapshot-1.db").open("r+b") as file:
        file.truncate(4_096)
    assert leader.snapshot_chunk(snapshot, 0, snapshot.size) is None
    write = write_snapshot

    def vanishing(source: Path, target: Path, *rest: object) -> object:
        made = write(source, target, *rest)  # type: ignore[arg-type]
        target.unlink()
        return made

    with monkeypatch.context() as patched:
        patched.setattr(snapshot_transfers, "write_snapshot", vanishing)
        leader.start_snapshot()
        assert finished(leader) == Background(made=True, snapshot=None)
    assert snapshot_of(leader).at == Position(1, 1)


def test_a_place_that_cannot_take_an_incoming_snapshot_ends_nobody(
    leader: Store, learner: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = snapshot_of(leader)
    obstacle = tmp_path / "learner" / "incoming" / "in the way"
    obstacle.mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        transfer(leader, learner, snapshot, chunk=100)
    assert caplog.text.count("cannot be received") == 1, "one line, not one a chunk"
    learner.start_install(snapshot)
    assert finished(learner) == Background(made=False, snapshot=None)
    obstacle.rmdir()
    transfer(leader, learner, snapshot)
    learner.start_install(snapshot)
    assert finished(learner) == Background(made=False, snapshot=snapshot)
