"""What is answered to who asks for a broker's health."""

import pytest

from raftwork.client.may_stop import BEHIND_MAX, by_name, objection
from raftwork.messages import BrokerStatus, DiskRoom
from raftwork.web.health import ALIVE_MS, BACKLOG_MS, Check, Health

ADDRESSES = (("a", "h1:1"), ("b", "h2:1"), ("c", "h3:1"))


def status(
    name: str, role: str = "follower", committed: int = 100, applied: int = 100, leader: str = "a"
) -> BrokerStatus:
    active = role == "leader"
    facts = (name, dict(ADDRESSES)[name], "raft", role, active, 3, leader, committed, applied)
    return BrokerStatus(1, *facts, [], [], ADDRESSES)


def three(**changed: BrokerStatus | None) -> dict[str, BrokerStatus | None]:
    return {"a": status("a", "leader"), "b": status("b"), "c": status("c"), **changed}


def looked(changed: dict[str, BrokerStatus | None] | None = None, *, name: str = "b") -> Health:
    health = Health(name, 0)
    health.look(three(**(changed or {})), 1_000)
    return health


def why(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.why for check in checks if not check.ok}


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_broker_of_a_whole_cluster_is_alive_ready_and_may_be_stopped(name: str) -> None:
    health = looked(name=name)
    assert why(health.alive(1_000)) == why(health.ready(1_000)) == why(health.safe_to_stop()) == {}


@pytest.mark.parametrize(
    ("disk", "found"),
    [
        (DiskRoom(64 << 20, 64 << 20), {}),
        (DiskRoom(63 << 20, 64 << 20), {"disk": "63 MiB are free, 64 MiB must be: make room"}),
        (DiskRoom(), {}),  # `--disk-reserve 0`: it does not look, and does not mind
        (DiskRoom(1, 0), {}),
    ],
)
def test_the_room_that_it_needs_is_the_brokers_own_word(
    disk: DiskRoom, found: dict[str, str]
) -> None:
    told = status("b")._replace(disk=disk)
    assert why(looked({"b": told}).ready(1_000)) == found


def test_it_is_alive_without_a_leader_and_without_others() -> None:
    """Whoever is restarted for want of a quorum will never have one."""
    alone = looked({"a": None, "c": None, "b": status("b", "candidate", leader="")})
    assert why(alone.alive(1_000)) == {}
    assert why(alone.ready(1_000)) == {"leader": "it knows of no leader"}


def test_it_is_not_alive_once_it_has_not_answered_for_long() -> None:
    health = looked()
    health.look(three(b=None), 2_000)
    assert why(health.alive(1_000 + ALIVE_MS)) == {}
    assert why(health.alive(1_001 + ALIVE_MS)) == {"loop": "it has not answered for 10 s"}
    starting = Health("b", 5_000)
    assert why(starting.alive(5_000 + ALIVE_MS)) == {}
    assert why(starting.ready(6_000)) == {"member": "it does not answer"}


@pytest.mark.parametrize(
    ("changed", "check", "text"),
    [
        ({"b": status("b", "learner")}, "member", "it is a learner"),
        ({"b": status("b")._replace(epoch=0)}, "member", "to form a cluster"),
        ({"a": status("a", "follower")}, "leader", "a, does not serve yet"),
        ({"a": None}, "leader", "a, does not answer"),
    ],
)
def test_it_is_not_ready(changed: dict[str, BrokerStatus | None], check: str, text: str) -> None:
    found = why(looked(changed).ready(1_000))
    assert list(found) == [check]
    assert text in found[check]


def test_it_is_not_ready_while_it_is_behind_for_long() -> None:
    health = Health("b", 0)
    for second in range(10):
        now, committed = 1_000 * second, 100 * second
        health.look(three(b=status("b", committed=committed, applied=100)), now)
        assert bool(why(health.ready(now))) == (committed - 100 > BACKLOG_MS // 10), second
    assert why(health.ready(9_000))["backlog"].startswith("it has not applied 300 entries")
    health.look(three(b=status("b", committed=900, applied=900)), 10_000)
    assert why(health.ready(10_000)) == {}


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"c": None}, "without b only 1 of 3 would go on, 2 must: c does not answer"),
        ({"c": status("c", "learner")}, "c is a learner"),
        ({"c": status("c", committed=0), "a": status("a", "leader", 1 + BEHIND_MAX)}, "c is 10001"),
        ({"b": None}, "b does not answer"),
    ],
)
def test_it_may_not_be_stopped(changed: dict[str, BrokerStatus | None], text: str) -> None:
    assert text in why(looked(changed).safe_to_stop())["others"]


def test_who_is_alone_or_one_of_two_may_never_be_stopped() -> None:
    assert "no majority" in (objection("a", {"a": status("a", "leader")}) or "")
    assert "no majority" in (objection("a", {"a": status("a", "leader"), "b": status("b")}) or "")


def test_brokers_that_do_not_answer_are_known_by_those_that_do() -> None:
    found = by_name({"h1:1": status("a", "leader"), "h2:1": None, "elsewhere:1": status("a")})
    assert list(found) == ["a", "b", "c"]
    assert found["b"] is found["c"] is None
