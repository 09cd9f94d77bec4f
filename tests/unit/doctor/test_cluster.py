"""What a doctor says of a cluster."""

import pytest

from raftwork.doctor.cluster import BEHIND, look
from raftwork.doctor.finding import Finding, Severity
from raftwork.messages import BrokerStatus, DiskRoom
from raftwork.release import RELEASE

NAMES = "abc"


def status(name: str, role: str = "follower") -> BrokerStatus:
    leads = role == "leader"
    known = tuple((each, f"h:{each}") for each in NAMES)
    facts = (name, f"h:{name}", "raft", role, leads, 3, "a", 50_000, 50_000)
    return BrokerStatus(1, *facts, [], [], known, (), RELEASE, (1, 2), 2)


A, B, C = status("a", "leader"), status("b"), status("c")


def found(*brokers: BrokerStatus | None) -> dict[str, Finding]:
    return {each.id: each for each in look(dict(zip(NAMES, brokers, strict=False)))}


def test_a_whole_cluster_is_well() -> None:
    assert {each.severity for each in found(A, B, C).values()} == {Severity.OK}
    assert not any(each.remedy for each in found(A, B, C).values())


CASES: list[tuple[tuple[BrokerStatus | None, ...], str, Severity, str]] = [
    ((A, B, None), "brokers", Severity.WARNING, "c of 3 brokers do not answer"),
    ((A, None, None), "brokers", Severity.ERROR, "no majority is left"),
    ((B._replace(name="a"), B, C), "leader", Severity.ERROR, "no broker leads"),
    ((A, B, None), "may-stop", Severity.WARNING, "no broker may be stopped: without a only 1 of 3"),
    ((A, None, None), "may-stop", Severity.WARNING, "no broker may be stopped: without a only 0"),
    ((A,), "may-stop", Severity.WARNING, "no broker may be stopped: a is one of 1"),
    ((A, B, C._replace(role="learner")), "lag", Severity.WARNING, "c by 0 entries"),
    ((A, B, C._replace(applied=49_999 - BEHIND)), "lag", Severity.WARNING, "c by 10001"),
    (
        (A, B._replace(disk=DiskRoom(1 << 20, 2 << 20)), C),
        "disks",
        Severity.ERROR,
        "b has 1 MiB",
    ),
    ((A, B._replace(access="x"), C), "access", Severity.WARNING, "b x, c none"),
    ((A, B._replace(unreached=("c",)), C), "links", Severity.ERROR, "b does not reach c"),
    ((A, B, C._replace(release="0.1.0")), "releases", Severity.WARNING, "c 0.1.0"),
    ((A, B._replace(release=""), C), "releases", Severity.WARNING, "b 0.1"),
    (tuple(s._replace(level=1) for s in (A, B, C)), "level", Severity.WARNING, "level 2"),
    ((A,), "size", Severity.WARNING, "one broker alone"),
    ((A, B), "size", Severity.WARNING, "2 brokers survive the loss of 0"),
]


@pytest.mark.parametrize(("brokers", "id_", "severity", "text"), CASES)
def test_each_finding_says_what_is_wrong_and_what_to_do(
    brokers: tuple[BrokerStatus | None, ...], id_: str, severity: Severity, text: str
) -> None:
    each = found(*brokers)[id_]
    assert each.severity is severity
    assert text in each.text
    assert each.remedy


def test_of_a_broker_that_is_down_it_is_not_said_that_it_may_be_stopped() -> None:
    five = {name: status(name, "leader" if name == "a" else "follower") for name in "abcde"}
    (finding,) = [each for each in look({**five, "e": None}) if each.id == "may-stop"]
    assert finding.severity is Severity.WARNING
    assert finding.text == "a, b, c, d may be stopped, one of them, and no other"
    (nobody,) = [each for each in look({"a": None}) if each.id == "may-stop"]
    assert nobody.text == "no broker may be stopped: none answers"


def test_who_cannot_be_reached_is_no_broken_link() -> None:
    assert found(A._replace(unreached=("c",)), B, None)["links"].severity is Severity.OK


def test_a_clock_that_is_wrong_is_named_with_how_far() -> None:
    three = {"a": A, "b": B, "c": C}

    def said(**ahead: int) -> Finding:
        return next(each for each in look(three, ahead) if each.id == "clocks")

    assert said(a=-500, b=0, c=500).severity is Severity.OK
    assert said().severity is Severity.OK
    behind = said(a=60_000, b=60_300, c=0)
    assert behind.severity is Severity.WARNING
    assert "that of c is 1 min behind" in behind.text
    assert "that of b is 1.2 s ahead" in said(a=0, b=1_200).text
    assert behind.remedy


def test_lists_of_keys_that_say_the_same_are_well() -> None:
    keyed = [each._replace(access="x") for each in (A, B, C)]
    assert found(*keyed)["access"].text == "all let the same keys in"
