"""Who counts as an offender, for how long, and which descriptors are left alone."""

import os

from raftwork.broker.net.protocol_violations import (
    VIOLATIONS_MAX,
    VIOLATORS_MAX,
    ProtocolViolations,
    read_no_more,
    remote_end,
)

HERE, THERE = ("127.0.0.1", 1), ("127.0.0.1", 2)


def test_a_few_offences_are_forgiven() -> None:
    violations = ProtocolViolations()
    for _ in range(VIOLATIONS_MAX - 1):
        violations.count_violation(b"a")
    assert not violations.suspect(b"a")
    violations.count_violation(b"a")
    assert violations.suspect(b"a")
    assert not violations.comes_again(b"a", HERE), "it has not gone yet"


def test_a_connection_is_closed_once_and_what_still_comes_of_it_is_skipped() -> None:
    violations = ProtocolViolations()
    violations.count_violation(b"a", VIOLATIONS_MAX)
    assert violations.close(b"a", HERE)
    assert not violations.close(b"a", HERE), "its descriptor may be somebody else's by now"
    assert violations.suspect(b"a")
    assert not violations.comes_again(b"a", HERE)
    assert not violations.comes_again(b"a", None), "it is gone: this is what it had sent before"


def test_who_comes_again_under_the_same_id_is_heard_again() -> None:
    violations = ProtocolViolations()
    violations.count_violation(b"a", VIOLATIONS_MAX)
    violations.close(b"a", HERE)
    assert violations.comes_again(b"a", THERE)
    assert not violations.suspect(b"a")
    violations.count_violation(b"a", VIOLATIONS_MAX)
    assert violations.close(b"a", THERE)


def test_who_was_gone_when_it_was_closed_is_heard_when_it_comes_again() -> None:
    violations = ProtocolViolations()
    violations.count_violation(b"a", VIOLATIONS_MAX)
    violations.close(b"a", None)
    assert violations.comes_again(b"a", THERE)


def test_of_offenders_without_end_the_oldest_are_forgotten() -> None:
    violations = ProtocolViolations()
    for number in range(3 * VIOLATORS_MAX):
        violations.count_violation(b"%d" % number, VIOLATIONS_MAX)
        if number % 2:
            violations.close(b"%d" % number, HERE)
    assert not violations.suspect(b"0")
    assert not violations.suspect(b"1")
    assert violations.suspect(b"%d" % (3 * VIOLATORS_MAX - 1))
    assert len(violations._violations) <= VIOLATORS_MAX
    assert len(violations._closed) <= VIOLATORS_MAX


def test_what_is_no_connection_is_left_alone_and_nothing_of_ours_stays_open() -> None:
    reading, writing = os.pipe()
    before = len(os.listdir("/proc/self/fd"))
    for descriptor in (reading, 9_999):
        assert remote_end(descriptor, 1) is None
        read_no_more(descriptor, 1)
    assert len(os.listdir("/proc/self/fd")) == before
    os.write(writing, b"x")
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    os.close(writing)
