"""Broker flags: what can never work is refused before anything is opened."""

import os
from pathlib import Path

import pytest

from raftwork.broker.options import BrokerConfig, is_loopback, parse_cluster
from raftwork.consensus import raft, zab


def test_a_cluster_is_read_in_the_order_given() -> None:
    cluster = parse_cluster("b=127.0.0.1:7702, a=localhost:7701,c=[::1]:7703")
    assert list(cluster.items()) == [
        ("b", "127.0.0.1:7702"),
        ("a", "localhost:7701"),
        ("c", "[::1]:7703"),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "NAME=HOST:PORT"),
        ("a", "NAME=HOST:PORT"),
        ("=127.0.0.1:7701", "NAME=HOST:PORT"),
        ("a=127.0.0.1", "HOST:PORT"),
        ("a=127.0.0.1:", "no port"),
        ("a=127.0.0.1:0", "no port"),
        ("a=127.0.0.1:65536", "no port"),
        ("a=127.0.0.1:77o1", "no port"),
        ("a=127.0.0.1:²", "no port"),
        ("a=:7701", "HOST:PORT"),
        ("a=::1:7701", "brackets"),
        ("a=tcp://127.0.0.1:7701", "brackets"),
        ("a b=127.0.0.1:7701", "no name"),
        ("a=127.0.0.1:7701,a=127.0.0.1:7702", "two brokers are called 'a'"),
        ("a=127.0.0.1:7701,b=127.0.0.1:7701", "two brokers have the address"),
        ("a=127.0.0.1:7701,", "NAME=HOST:PORT"),
        # F18: one place under two names
        ("a=127.0.0.1:7701,b=LOCALHOST:7701", "a=127.0.0.1:7701 is the same place"),
        ("a=[::1]:7701,b=ip6-localhost:7701", "is the same place"),
        ("a=[0:0::1]:7701,b=[::1]:07701", "is the same place"),
        ("a=h.example:7701,b=H.example.:7701", "is the same place"),
        # X10: these cannot be dialled
        ("a=127.0.0.1:7701,b=0.0.0.0:7702", "b=0.0.0.0:7702: .*cannot be dialled.*give the name"),
        ("a=[::]:7701", "cannot be dialled"),
        ("a=[::ffff:0.0.0.0]:7701", "cannot be dialled"),
    ],
)
def test_a_malformed_cluster_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_cluster(text)


def test_a_broker_outside_its_own_cluster_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'d' is not in the cluster \(a\)"):
        BrokerConfig(name="d", cluster={"a": "127.0.0.1:7701"}, data=Path("x"))


def test_an_address_others_can_reach_needs_consent() -> None:
    cluster = {"a": "127.0.0.1:7701", "b": "10.0.0.2:7701"}
    with pytest.raises(ValueError, match=r"^10\.0\.0\.2:7701: .*--insecure"):
        BrokerConfig(name="a", cluster=cluster, data=Path("x"))
    assert BrokerConfig(name="a", cluster=cluster, data=Path("x"), insecure=True).insecure


def test_only_loopback_counts_as_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1")))
    # F18: these, too, counted as reachable by others.
    for host in ("LOCALHOST", "localhost.", "ip6-localhost", "x.localhost", "[::ffff:127.0.0.1]"):
        assert is_loopback(f"{host}:1")
    for host in ("0.0.0.0", "[::]", "example.org", "10.0.0.1", "localhost.example.org"):
        assert not is_loopback(f"{host}:1")


def _options(data: Path) -> BrokerConfig:
    return BrokerConfig(name="a", cluster={"a": "127.0.0.1:7701"}, data=data)


def test_a_directory_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert _options(Path("link/a")).data == tmp_path / "real" / "a"


def test_a_directory_that_cannot_be_found_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ValueError, match="give its whole path"):
        _options(Path("a"))
    with pytest.raises(ValueError, match="UTF-8"):
        _options(Path(os.fsdecode(b"/tmp/\xff")))
    with pytest.raises(ValueError, match=r"the whole path of .* has 961 bytes, and SQLite .* 960"):
        _options(Path("/" + "d" * 200 + "/" + "é" * 379 + "d"))


def _paced(
    consensus: str = "raft", *, election_timeout: int = 0, heartbeat_interval: int = 0
) -> BrokerConfig:
    return BrokerConfig(
        name="a",
        cluster={"a": "127.0.0.1:7701"},
        data=Path("x"),
        consensus=consensus,
        election_timeout=election_timeout,
        heartbeat_interval=heartbeat_interval,
    )


def test_the_pace_is_the_protocols_usual_one_unless_told() -> None:
    assert raft.Config.paced(*_paced("raft").timing()) == raft.Config()
    assert zab.Config.paced(*_paced("zab").timing()) == zab.Config()
    assert _paced("raft", election_timeout=3_000).timing() == (300, 3_000)
    assert _paced("zab", election_timeout=3_200, heartbeat_interval=100).timing() == (100, 3_200)


@pytest.mark.parametrize("protocol", ["raft", "zab"])
def test_every_pace_that_is_let_in_is_one_that_both_protocols_work_with(protocol: str) -> None:
    for timeout in (250, 251, 999, 5_000, 60_000):
        for beat in (0, 10, 83, timeout // 3):
            pace = _paced(protocol, election_timeout=timeout, heartbeat_interval=beat).timing()
            assert raft.Config.paced(*pace).election_min == timeout
            assert timeout <= zab.Config.paced(*pace).silence < timeout + 2 * pace[0]


@pytest.mark.parametrize(
    ("timeout", "beat", "said"),
    [
        (100, 0, "an election timeout must be from 0.25 to 60 s, got 0.1 s"),
        (60_001, 0, "from 0.25 to 60 s"),
        (
            0,
            400,
            r"interval must be from 0.01 to 0.25 s with an election timeout of 0.75 s, got 0.4 s",
        ),
        (0, 9, "from 0.01 to 0.25 s"),
    ],
)
def test_a_pace_that_cannot_work_is_refused_with_both_numbers(
    timeout: int, beat: int, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        _paced(election_timeout=timeout, heartbeat_interval=beat)


def test_a_broker_may_listen_elsewhere_than_where_it_is_found() -> None:
    """In a container, or behind a port that is passed on, its own name is another machine's."""
    cluster = {"a": "127.0.0.1:7701"}
    assert BrokerConfig(name="a", cluster=cluster, data=Path("x")).bound == "127.0.0.1:7701"
    with pytest.raises(ValueError, match=r"0\.0\.0\.0:7701: other machines could reach this"):
        BrokerConfig(name="a", cluster=cluster, data=Path("x"), listen="0.0.0.0:7701")
    config = BrokerConfig(
        name="a", cluster=cluster, data=Path("x"), listen="0.0.0.0:7701", insecure=True
    )
    assert (config.address, config.bound) == ("127.0.0.1:7701", "0.0.0.0:7701")
