"""Directories as people name them: relative, and with characters that mean something elsewhere."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import ODD_NAME
from tests.strangers.place import PATIENCE, Background, Place


def _place(tmp_path: Path, names: str) -> Iterator[Place]:
    directory = tmp_path / ODD_NAME
    directory.mkdir()
    made = Place(directory, "raft", names)
    yield made
    made.close()


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Place]:
    """One broker's address, nothing started."""
    yield from _place(tmp_path, "a")


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Place]:
    """Three brokers' addresses, nothing started: for what is no matter of consensus."""
    yield from _place(tmp_path, "abc")


def test_a_follower_that_needs_a_snapshot_ends_nobody(place: Place) -> None:
    """X1: with a relative --data the leader ended, and its successor after it."""
    brokers = place.brokers()
    leader = place.leader()
    behind = next(n for n in "abc" if n != leader)
    brokers[behind].kill()
    _enqueue_megabytes(place, 100)
    brokers[behind] = place.broker(behind)

    place.wait_until(
        lambda: _level(place, brokers), "all three are level again", within=2 * PATIENCE
    )


def _enqueue_megabytes(place: Place, count: int) -> None:
    enqueued = place.sh(
        "python -c '"
        'from raftwork import App; take = App().named("t.take")\n'
        f"for _ in range({count // 10}): take.enqueue_many([(bytes(1_000_000),)] * 10)'"
    )
    assert enqueued.code == 0, enqueued.err


def _level(place: Place, brokers: dict[str, Background]) -> bool:
    assert all(b.code is None for b in brokers.values()), "a broker has ended"
    rows = place.status()["brokers"]
    applied = {row["applied"] for row in rows}
    return [row["role"] for row in rows].count("follower") == 2 and len(applied) == 1


def test_a_snapshot_that_cannot_be_made_ends_neither_the_leader_nor_its_successor(
    three: Place,
) -> None:
    """X1: such work fails by itself, and the follower catches up once the cause is gone."""
    brokers = three.brokers()
    leader = three.leader()
    behind, successor = (n for n in "abc" if n != leader)
    brokers[behind].kill()
    _enqueue_megabytes(three, 40)

    def obstacles(name: str) -> list[Path]:
        """Where its snapshots would go."""
        return [three.directory / "data" / name / f"snapshot-{n}.db" for n in range(1, 30)]

    def block(name: str) -> None:
        for path in obstacles(name):
            path.mkdir()

    def failed(name: str, times: int) -> bool:
        assert all(b.code is None for b in brokers.values()), "a broker has ended"
        return brokers[name].text.count("no snapshot could be made") >= times

    block(leader)
    block(successor)
    brokers[behind] = three.broker(behind)
    # On a busy machine leadership may have moved while they were blocked.
    leader = three.wait_until(
        lambda: next((n for n in (leader, successor) if failed(n, 2)), ""), "a leader fails twice"
    )
    (successor,) = {"a", "b", "c"} - {leader, behind}
    assert brokers[leader].stop() == 0
    brokers[leader] = three.broker(leader)  # it removes what is in the way of its own snapshots
    three.wait_until(lambda: three.status()["leader"] == successor, "the successor leads")
    three.wait_until(lambda: failed(successor, 2), "the successor fails twice")
    for path in obstacles(successor):
        path.rmdir()
    three.wait_until(lambda: _level(three, brokers), "all three are level", within=2 * PATIENCE)


def test_a_broker_whose_current_directory_goes_away_and_whose_link_moves_works_on(
    one: Place,
) -> None:
    data, here = one.directory / "data", one.directory / "gone 50%"
    data.mkdir()
    here.mkdir()
    (one.directory / "link").symlink_to("data")
    command = 'raftwork broker --name a --cluster "$CLUSTER" --data ../link/a'
    broker = one.start(f"bash -c 'cd \"{here.name}\" && exec {command}'", "a")
    one.leader()
    here.rmdir()
    (one.directory / "link").unlink()
    (one.directory / "link").symlink_to("elsewhere")
    assert one.sh("raftwork enqueue t.take 1").code == 0
    (pid,) = (data / "a" / "broker.pid").read_text().split()
    os.kill(int(pid), 0)
    same = command.replace("../link", "./data")
    twice = one.sh(same)
    assert "open already" in twice.out + twice.err, "the directory has one owner by any name"
    assert broker.stop() == 0
    assert not (data / "a" / "broker.pid").exists()
    one.start(same, "again")
    one.wait_until(lambda: one.status()["leader"], "it leads again")
    assert [queue["queued"] for queue in one.status()["queues"].values()] == [1]


def test_a_directory_of_another_version_says_what_to_do(one: Place) -> None:
    """F23."""
    broker = one.brokers()["a"]
    assert broker.stop() == 0
    changed = one.sh(
        "python -c 'import apsw, glob; from raftwork.broker.store.database import checksum_vfs\n"
        'vfs, (path,) = checksum_vfs(), glob.glob("data/a/*.db")\n'
        'apsw.Connection(path, vfs=vfs).execute("UPDATE machine SET version = 1")\''
    )
    assert changed.code == 0, changed.err
    again = one.broker("a")
    one.wait_until(lambda: again.code is not None, "it ends")
    assert "are of version 1" in again.text
    assert "run the older version" in again.text
