"""Brokers with keys: they lead, fail and recover as others do, and nobody else has a say in it."""

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import zmq

from raftwork import PermissionDenied, UnknownTask
from raftwork.keys import Role, decoded, encoded, new_key, read_key, replace_key
from tests.cluster.harness import PATIENCE
from tests.cluster.keyed import KeyedCluster

NAMES = ("a", "b", "c")


@pytest.fixture
def keyed(
    tmp_path: Path, consensus: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KeyedCluster]:
    """Three brokers with keys, and a leader."""
    ops = KeyedCluster.make_keys(tmp_path, NAMES)
    monkeypatch.setenv("RAFTWORK_KEY", str(ops))
    cluster = KeyedCluster(tmp_path, NAMES, consensus=consensus)
    try:
        cluster.start()
        yield cluster
        _no_secret_in_any_log(cluster)
    finally:
        cluster.close()


def _no_secret_in_any_log(cluster: KeyedCluster) -> None:
    secrets = [read_key(path).secret for path in cluster.directory.glob("*.key")]
    logs = [path.read_bytes() for path in cluster.directory.glob("*.log")]
    assert secrets
    assert logs
    for secret in secrets:
        for said in (encoded(secret).encode(), secret.hex().encode(), repr(secret).encode()):
            assert not any(said in log for log in logs)


def _start_worker(cluster: KeyedCluster, *flags: str) -> Path:
    key = cluster.new_key("worker", Role.WORKER)
    cluster.allow(key)
    cluster.start_worker("w1", "--key", str(key), *flags)
    return key


def test_a_keyed_cluster_loses_its_leader_and_nothing_else(keyed: KeyedCluster) -> None:
    key = keyed.new_key("ada", Role.CLIENT)
    keyed.allow(key)
    _start_worker(keyed, "--pool", "thread")
    with keyed.client(key) as app:
        runs = [app.enqueue("add", n, 1) for n in range(20)]
        old = keyed.leader()
        keyed.kill(old)
        runs += [app.enqueue("add", n, 1) for n in range(20, 40)]
        assert [run.result(timeout=PATIENCE) for run in runs] == list(range(1, 41))
    keyed.start_keyed(old)
    keyed.wait_for_caught_up(old)


def test_strangers_and_unknown_keys_end_no_broker_and_hold_up_nobody(keyed: KeyedCluster) -> None:
    _start_worker(keyed, "--pool", "thread")
    over = threading.Event()
    attackers = [
        threading.Thread(target=attack, args=(address, keyed, over))
        for address in keyed.local.addresses.values()
        for attack in (_resets_with_pings, _unknown_keys)
    ]
    for each in attackers:
        each.start()
    try:
        began, done = time.monotonic(), 0
        while time.monotonic() - began < 5 or done < 5:
            assert keyed.app.enqueue("add", done, 1).result(timeout=PATIENCE) == done + 1
            done += 1
    finally:
        over.set()
        for each in attackers:
            each.join()
    assert all(keyed[name].alive for name in NAMES)
    assert keyed.leader()


def _resets_with_pings(address: str, _cluster: KeyedCluster, over: threading.Event) -> None:
    """What ends a broker without keys within a few tries: a ping under way, and a reset."""
    host, _, port = address.rpartition(":")
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + bytes(32)
    ready = b"\x04\x19\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
    ping = b"\x04\x07\x04PING\x00\x00"
    while not over.is_set():
        with (  # a broker refuses most who come from where so many are refused
            suppress(OSError),
            socket.create_connection((host, int(port)), timeout=5) as stranger,
        ):
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stranger.sendall(greeting[:64] + ready + ping * 100)


def _unknown_keys(address: str, cluster: KeyedCluster, over: threading.Event) -> None:
    """They know the brokers' keys, and nobody knows theirs."""
    brokers = [key for name in NAMES for key in [read_key(cluster.directory / f"{name}.key")]]
    with zmq.Context() as context:
        while not over.is_set():
            mine = new_key("mallory", [Role.ADMIN])
            for broker in brokers:
                dealer = context.socket(zmq.DEALER)
                dealer.linger = 0
                dealer.curve_publickey, dealer.curve_secretkey = decoded(mine.public), mine.secret
                dealer.curve_serverkey = decoded(broker.public)
                dealer.connect(f"tcp://{address}")
                # Of a connection that was refused by now nothing is left to send to.
                with suppress(zmq.Again):
                    dealer.send(b"\x91\x01", zmq.NOBLOCK)
                assert not dealer.poll(10)
                dealer.close()


def test_who_may_not_is_told_at_once_and_who_is_revoked_is_cut(keyed: KeyedCluster) -> None:
    worker = _start_worker(keyed, "--pool", "thread", "--queues", "default,mail.out")
    stranger = keyed.new_key("stranger", Role.ADMIN)
    said = keyed.cli("enqueue", "add", "1", "2", "--key", str(stranger))
    assert said.code == 1
    assert "PermissionDenied" in said.err
    assert "the key stranger" in said.err
    assert "not let in" in said.err
    refused = keyed.local.start("w2", ["worker", "tests.cluster.tasks:app", *_at(keyed, stranger)])
    assert refused.wait(timeout=PATIENCE) == 1
    assert "not let in" in refused.tail()
    mail = keyed.new_key("mail", Role.CLIENT, queues=("mail.*",))
    keyed.allow(mail)
    with keyed.client(mail) as app:
        assert app.named("add", queue="mail.out").enqueue(1, 2).result(timeout=PATIENCE) == 3
        with pytest.raises(PermissionDenied, match=r"mail\.\* only, and not for 'default'"):
            app.enqueue("add", 1, 2)
        with pytest.raises(PermissionDenied, match="has the role client"):
            app.queue("mail.out").set(max_length=5)
        other = keyed.app.enqueue("add", 3, 4)
        assert other.result(timeout=PATIENCE) == 7
        for ask in (app.run(other.id).status, lambda: app.run(other.id).result(timeout=PATIENCE)):
            with pytest.raises(UnknownTask):
                ask()
        app.named("add", queue="mail.out").enqueue(1, 2)
        keyed.revoke("mail")

        def denied() -> str:
            try:
                app.named("add", queue="mail.out").enqueue(1, 2)
            except PermissionDenied as error:
                return str(error)
            return ""

        assert "not let in" in keyed.wait_until(denied, "it is revoked")
        _replace(keyed, mail)
        keyed.wait_until(lambda: not denied(), "the same App goes on with its file's new key")
    keyed.revoke("worker")
    _replace(keyed, worker)
    assert keyed.app.enqueue("add", 5, 6).result(timeout=PATIENCE) == 11, "and so does the worker"
    keyed.revoke("worker")
    assert worker.exists()
    keyed.wait_until(lambda: not keyed.worker_pids(), "the worker's connection is cut")


def _replace(cluster: KeyedCluster, path: Path) -> None:
    """Another key of the same name in that file, which is let in."""
    old = read_key(path)
    replace_key(new_key(old.name, old.roles, old.queues, old.brokers), str(path))
    cluster.allow(path)


def _at(cluster: KeyedCluster, key: Path) -> list[str]:
    return ["--brokers", cluster.brokers, "--key", os.fspath(key)]
