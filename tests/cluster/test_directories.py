"""Data directories that are emptied or damaged: such a replica learns before it votes again."""

import shutil
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from raftwork import Status
from tests.cluster.harness import PATIENCE, Cluster
from tests.cluster.load import Load


def empty(cluster: Cluster, name: str) -> None:
    """What a replaced disk looks like."""
    assert not cluster[name].alive
    shutil.rmtree(cluster.local.data(name))


def settled(cluster: Cluster, name: str) -> Path:
    """The database of a stopped broker, with nothing in a log that would hide a page of it."""
    (path,) = cluster.local.data(name).glob("state-*.db")
    with closing(apsw.Connection(str(path))) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def flip_a_bit(path: Path, *places: int) -> None:
    """One bit at each of these places."""
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 0x10
    path.write_bytes(data)


def write_ahead_log_in_force(path: Path) -> int:
    """How many bytes of it count.

    Once it was copied it begins again at its start, and behind its new end is what nobody reads.
    """
    data = path.read_bytes()
    frame = 24 + int.from_bytes(data[8:12])
    end = 32
    while end < len(data) and data[end + 8 : end + 16] == data[16:24]:  # salts: of one beginning
        end += frame
    return end


def cure_is_complete(cluster: Cluster, name: str) -> None:
    """The replica is a voter again that the others can rely on: with it, one more can die."""
    cluster.wait_for_caught_up(name)
    other = next(n for n in cluster.followers() if n != name)
    cluster.kill(other)
    with Load(cluster) as load:
        load.wait_for_more()
    load.check()


def test_an_emptied_broker_comes_back_as_a_learner_and_then_counts_again(
    cluster: Cluster,
) -> None:
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "2")
    with Load(cluster) as load:
        load.wait_for_more(500)
        name = cluster.followers()[0]
        cluster.kill(name)
        empty(cluster, name)
        load.wait_for_more()
        cluster.restart(name)
        cluster.wait_for_caught_up(name)
    load.check()
    cure_is_complete(cluster, name)


def test_a_broker_that_the_log_no_longer_reaches_catches_up_by_snapshot(cluster: Cluster) -> None:
    name = max(cluster.followers())  # among equals, Zab's next leader: it must come to lead below
    cluster.kill(name)
    empty(cluster, name)
    # More than the log keeps for those who are behind.
    values = [bytes([n]) * 900_000 for n in range(24)]
    runs = [cluster.app.enqueue("echo", value) for value in values]
    cluster.restart(name)
    cluster.wait_for_caught_up(name)
    current = (cluster.local.data(name) / "CURRENT").read_text().strip()
    assert current != "state-000001.db", "a snapshot is a generation of its own"
    while (old := cluster.leader()) != name:  # until it serves what it was sent
        cluster.kill(old)
        cluster.wait_for_leader(other_than=old)
        cluster.restart(old)
        cluster.wait_for_caught_up(old)
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "2")
    assert [run.result(timeout=PATIENCE) for run in runs] == values


def test_an_emptied_leader_comes_back_as_a_learner_and_then_counts_again(
    cluster: Cluster,
) -> None:
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "2")
    with Load(cluster) as load:
        load.wait_for_more()
        name = cluster.leader()
        cluster.kill(name)
        empty(cluster, name)
        cluster.restart(name)
        cluster.wait_for_caught_up(name)
    load.check()
    cure_is_complete(cluster, name)


def test_two_emptied_brokers_never_form_a_cluster_without_the_third(cluster: Cluster) -> None:
    with Load(cluster) as load:
        load.wait_for_more()
    # Two acknowledge what the third may not even have joined yet; then nobody would remember.
    cluster.wait_for_caught_up("c")
    cluster.kill("a", "b", "c")
    empty(cluster, "a")
    empty(cluster, "b")
    cluster.restart("a", "b")
    cluster.wait_until(lambda: cluster.role("a") and cluster.role("b"), "both are reachable")
    # Many election timeouts.
    cluster.holds_for(lambda: cluster.see().leader is None, "nobody leads", seconds=4)
    assert {cluster.role("a"), cluster.role("b")} == {"learner"}
    cluster.restart("c")
    # One of three voters is left: it must not lead on its own either.
    cluster.holds_for(lambda: cluster.see().leader is None, "nobody leads", seconds=3)


def damage_is_cured(cluster: Cluster, name: str) -> None:
    """The damaged replica says so, keeps the evidence, and becomes a sound voter again."""
    said = len(cluster[name].log.read_text())
    goal = cluster.goal()
    cluster.restart(name)

    def cured() -> bool:
        if not cluster[name].alive:
            # Noticed in the middle of its work; whatever supervises it starts it again.
            assert cluster[name].wait(timeout=0) == 1, cluster[name].tail()
            cluster.restart(name)
        return cluster.role(name) == "follower" and cluster.applied(name) >= goal

    cluster.wait_until(cured, f"{name} is a voter again")
    assert "data put aside, rejoining as a learner" in cluster[name].log.read_text()[said:]
    assert list(cluster.local.data(name).glob("damaged-*")), "the evidence is kept"
    cure_is_complete(cluster, name)


def test_a_bit_flipped_in_the_write_ahead_log_is_noticed_and_cured(cluster: Cluster) -> None:
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "2")
    name = cluster.followers()[0]
    (path,) = cluster.local.data(name).glob("state-*.db-wal")
    with Load(cluster) as load:
        # Damage is noticed if what was promised to be durable is behind it. The last turn may be
        # without a promise, and a log that has just begun again may hold nothing else; half way to
        # where it begins again (3 MiB), hundreds of promised turns are in it.
        cluster.wait_until(
            lambda: 1 << 20 <= write_ahead_log_in_force(path) < 2 << 20,
            "the write-ahead log has much to lose",
        )
        cluster.kill(name)
    flip_a_bit(path, write_ahead_log_in_force(path) // 2)
    damage_is_cured(cluster, name)
    load.check()


@pytest.mark.parametrize("where", ["the first page", "every other page"])
def test_a_bit_flipped_in_the_database_is_noticed_and_cured(cluster: Cluster, where: str) -> None:
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "2")
    with Load(cluster) as load:
        load.wait_for_more(500)
        name = cluster.followers()[0]
        assert cluster[name].stop(timeout=PATIENCE) == 0
    path = settled(cluster, name)
    page = int.from_bytes(path.read_bytes()[16:18])
    others = range(page + 1000, path.stat().st_size, page)
    flip_a_bit(path, *([1000] if where == "the first page" else others))
    damage_is_cured(cluster, name)
    load.check()


def flip_a_bit_of_a_task(path: Path, text: bytes) -> None:
    """One bit of this text, not where the log has it but where the tasks are."""
    whole, place = path.read_bytes(), -1
    while (place := whole.find(text, place + 1)) >= 0:
        flip_a_bit(path, place)
        with closing(apsw.Connection(str(path))) as database:
            values = [value for row in database.execute("SELECT * FROM task") for value in row]
        if not any(isinstance(value, bytes) and text in value for value in values):
            return
        flip_a_bit(path, place)
    raise AssertionError(f"no task has {text!r}")


def test_a_bit_flipped_in_a_task_is_noticed_when_it_is_next_written(cluster: Cluster) -> None:
    text = "a bit of this is about to be flipped"
    run = cluster.app.enqueue("add", text, "!")
    name = cluster.followers()[0]
    cluster.wait_for_caught_up(name)
    assert cluster[name].stop(timeout=PATIENCE) == 0
    path = settled(cluster, name)
    flip_a_bit_of_a_task(path, text.encode())
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "2")
    assert run.result(timeout=PATIENCE) == text + "!"
    damage_is_cured(cluster, name)


def test_other_addresses_are_taken_on_only_when_asked(cluster: Cluster) -> None:
    from raftwork.testing.processes import free_addresses

    run = cluster.app.enqueue("add", 1, 2)
    for name in cluster.names:
        assert cluster[name].stop(timeout=PATIENCE) == 0
    cluster.local.addresses.update(zip(cluster.names, free_addresses(3), strict=True))
    assert cluster.local.start_broker("a").wait(timeout=PATIENCE) == 1, "it was not asked"
    for name in cluster.names:
        cluster.local.start_broker(name, "--readdress")
    cluster.wait_for_leader()
    done = cluster.cli("status", "--brokers", cluster.local.brokers, "--timeout", str(PATIENCE))
    assert done.code == 0
    again = cluster.cli("result", run.id, "--brokers", cluster.local.brokers)
    assert again.err == "queued\n"


def test_a_directory_of_another_cluster_at_these_addresses_is_refused(cluster: Cluster) -> None:
    cluster.wait_for_caught_up("c")
    for name in cluster.names:
        assert cluster[name].stop(timeout=PATIENCE) == 0
    (cluster.local.data("c")).rename(cluster.directory / "of the first")
    for name in ("a", "b"):
        empty(cluster, name)
    cluster.start()
    cluster.wait_for_caught_up("c")
    cluster.kill("c")
    empty(cluster, "c")
    (cluster.directory / "of the first").rename(cluster.local.data("c"))
    cluster.restart("c")
    assert cluster["c"].wait(timeout=PATIENCE) == 1
    assert "says: 'c' belongs to another cluster" in cluster["c"].tail()
    assert cluster.app.enqueue("add", 1, 2).status() is Status.QUEUED
