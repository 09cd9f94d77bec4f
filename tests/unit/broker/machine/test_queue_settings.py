"""What is set for a queue is checked where it is applied, and the tables keep it."""

import pytest

from raftwork.broker.machine import ClusterSettings
from raftwork.broker.machine.commands import Command, encode_batch
from raftwork.errors import OtherRelease
from raftwork.features.effects import Done
from raftwork.features.queue_settings import (
    Configure,
    ConfigureThree,
    QueueSettings,
    changes,
    settings_of,
)
from raftwork.messages import NAME_MAX, Code, QueueStatus
from raftwork.wire import INT_MAX, pack
from tests.unit.broker.machine.driver import Driver, configured, spec_of


def test_a_change_leaves_the_other_settings_as_they_are(driver: Driver) -> None:
    configured(driver, "q", balancer="random", max_length=5, max_bytes=6)
    configured(driver, "q", max_bytes=0)
    assert driver.machine.queue("q") == QueueStatus(
        "q", 0, 0, 0, 0, 0, 0, changes(balancer="random", max_length=5)
    )
    assert driver.machine.balancer("q") == "random"
    configured(driver, "q", balancer="")
    assert driver.machine.balancer("q") is None


def test_settings_and_counted_bytes_are_found_again_in_the_tables(driver: Driver) -> None:
    configured(driver, balancer="lru", max_length=9, max_bytes=99)
    driver.enqueue("a", "b", "c")
    driver.assign(2)
    before, digest = driver.machine.queues(), driver.machine.digest()
    assert before[0].bytes == 14
    driver.reopen()
    assert driver.machine.queues() == before
    assert driver.machine.digest() == digest
    (run,) = driver.machine.running()
    driver.release(run.token)
    assert driver.machine.queue("default").bytes == 21


def test_settings_are_part_of_the_state_that_replicas_compare(driver: Driver) -> None:
    configured(driver, "q", max_length=5)
    digest = driver.machine.digest()
    configured(driver, "q", max_length=6)
    assert driver.machine.digest() != digest


@pytest.mark.parametrize(
    "change",
    [
        Configure("", changes(max_length=1)),
        Configure("q" * (NAME_MAX + 1), changes(max_length=1)),
        Configure("q", changes(balancer="b" * (NAME_MAX + 1))),
        Configure("q", changes(max_length=INT_MAX)),
        Configure("q", changes(max_bytes=INT_MAX)),
        Configure("q", changes(max_bytes=0)),
        Configure("q", changes(balancer="")),
        ConfigureThree("q", None, None, INT_MAX),
    ],
)
def test_settings_that_cannot_be_meant_change_nothing(driver: Driver, change: Command) -> None:
    assert driver.refusal(change).code is Code.PROTOCOL


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (changes(max_bytes="7"), "max_bytes must be of type int"),
        (changes(speed=7), "no such setting: speed"),
        (b"\xc1", "not msgpack"),
        (pack([1]), "settings must be a map"),
        (pack({1: 1}), "settings must be a map"),
    ],
)
def test_settings_that_this_release_does_not_know_stop_the_replica(
    driver: Driver, packed: bytes, said: str
) -> None:
    with pytest.raises(OtherRelease, match=said):
        driver.machine.apply(encode_batch(driver.now, [Configure("q", packed)]))


def test_there_are_no_more_queues_with_settings_than_queues() -> None:
    driver = Driver(ClusterSettings(queues=2))
    configured(driver, "a", max_length=1)
    driver.enqueue("t", spec=spec_of("b"))
    assert driver.refusal(Configure("c", changes(max_length=1))).code is Code.QUEUE_FULL
    assert driver.refusal(driver.put("u", spec=spec_of("c"))).code is Code.QUEUE_FULL
    configured(driver, "b", max_length=1)


def test_a_queue_that_nobody_used_has_nothing_set(driver: Driver) -> None:
    assert driver.machine.queue("q") == QueueStatus("q", 0, 0, 0, 0, 0)
    assert driver.machine.balancer("q") is None
    assert driver.machine.queues() == []


def test_a_log_of_before_settings_were_packed_is_read_as_it_was_meant(driver: Driver) -> None:
    for change in (
        ConfigureThree("q", "random", 5, 6),
        ConfigureThree("q", "", None, 7),
        ConfigureThree("q", None, 0, None),
    ):
        assert driver.apply(change).replies == [Done()]
    assert driver.machine.queue("q").settings == changes(max_bytes=7)


def test_what_only_a_newer_release_sets_is_dropped_where_it_is_only_told() -> None:
    assert settings_of(changes(max_length=5, speed=7)) == QueueSettings(max_length=5)
    assert settings_of(b"") == QueueSettings()
