"""Bounded queues: the log decides what fits, what is in stays in, and the counters outlive us."""

import pytest

from raftwork.broker.machine import ClusterSettings
from raftwork.broker.machine.commands import Command, encode_batch
from raftwork.errors import OtherRelease
from raftwork.features.effects import Done, Rejected
from raftwork.features.enqueue import check
from raftwork.features.queue_settings import (
    Configure,
    ConfigureThree,
    QueueSettings,
    changes,
    settings_of,
)
from raftwork.messages import NAME_MAX, Code, QueueStatus
from raftwork.wire import INT_MAX, pack
from tests.unit.broker.machine.driver import Driver, change_of, spec_of


def configured(
    driver: Driver,
    queue: str = "default",
    *,
    balancer: str | None = None,
    max_length: int | None = None,
    max_bytes: int | None = None,
) -> None:
    change = Configure(queue, change_of(balancer, max_length, max_bytes))
    assert driver.apply(change).replies == [Done()]


def test_a_batch_that_would_make_a_queue_too_long_is_refused_as_a_whole(driver: Driver) -> None:
    configured(driver, max_length=3)
    driver.enqueue("a", "b")
    refused = driver.refusal(driver.put("c", "d"))
    assert refused.code is Code.QUEUE_FULL
    assert "'default'" in refused.text
    assert "2 tasks wait, 3 may, and 2 more" in refused.text
    driver.enqueue("c")
    assert driver.waiting_ids() == ["a", "b", "c"]


def test_a_batch_that_would_make_a_queue_too_large_is_refused_as_a_whole(driver: Driver) -> None:
    configured(driver, max_bytes=10)
    driver.enqueue("a", payload=b"123456")
    refused = driver.refusal(driver.put("b", payload=b"12345"))
    assert (refused.code, "6 bytes wait, 10 may" in refused.text) == (Code.QUEUE_FULL, True)
    driver.enqueue("b", payload=b"1234")
    assert driver.machine.queue("default").bytes == 10


def test_within_one_entry_earlier_commands_take_the_room_from_later_ones(driver: Driver) -> None:
    configured(driver, max_length=1)
    replies = driver.apply(driver.put("a"), driver.put("b")).replies
    assert [isinstance(reply, Rejected) for reply in replies] == [False, True]


def test_a_limit_is_of_its_own_queue_alone(driver: Driver) -> None:
    configured(driver, "other", max_length=1)
    driver.enqueue("a", "b")
    driver.enqueue("c", spec=spec_of("other"))
    assert driver.refusal(driver.put("d", spec=spec_of("other"))).code is Code.QUEUE_FULL


def test_what_is_stored_already_is_never_refused_as_full(driver: Driver) -> None:
    driver.enqueue("a", "b")
    configured(driver, max_length=1, max_bytes=1)
    assert driver.effects(driver.put("a", "b")) == []
    check(driver.machine.state, driver.put("b").spec, driver.put("b").tasks)
    assert driver.refusal(driver.put("a", "b", "c")).code is Code.QUEUE_FULL


def test_of_a_batch_that_is_half_known_only_the_new_ones_need_room(driver: Driver) -> None:
    configured(driver, max_length=3)
    driver.enqueue("a", "b")
    driver.enqueue("a", "b", "c")
    assert driver.waiting_ids() == ["a", "b", "c"]


def test_running_tasks_leave_room_and_what_comes_back_is_never_refused(driver: Driver) -> None:
    configured(driver, max_length=2, max_bytes=14)
    driver.enqueue("a", "b")
    first, second = driver.assign(1, 2)
    assert driver.machine.queue("default")[1:3] == (0, 2)
    driver.enqueue("c", "d")
    driver.release(first)
    driver.lose(second)
    status = driver.machine.queue("default")
    assert (status.queued, status.bytes) == (4, 28)
    assert driver.refusal(driver.put("e")).code is Code.QUEUE_FULL


def test_a_task_that_waits_for_its_retry_counts_as_queued(driver: Driver) -> None:
    configured(driver, max_length=1)
    token = driver.start("a", spec=spec_of(retries=1))
    driver.fail(token, driver.now + 50)
    assert driver.refusal(driver.put("b")).code is Code.QUEUE_FULL
    assert driver.machine.queue("default").bytes == len(b"payload")
    driver.tick(50)
    assert driver.machine.queue("default").bytes == len(b"payload")
    (again,) = driver.assign(1)
    driver.finish(again)
    assert driver.machine.queue("default").bytes == 0
    driver.enqueue("b")


def test_a_lower_limit_refuses_new_tasks_and_touches_no_old_one(driver: Driver) -> None:
    driver.enqueue("a", "b", "c")
    configured(driver, max_length=1)
    assert driver.waiting_ids() == ["a", "b", "c"]
    assert driver.refusal(driver.put("d")).code is Code.QUEUE_FULL
    configured(driver, max_length=0)
    driver.enqueue("d")


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
