"""Bounded queues: the log decides what fits, and what is in stays in."""

from typing import Any

import pytest

from raftwork.features import queue_limits
from raftwork.features.effects import Rejected
from raftwork.features.enqueue import Admit, check
from raftwork.features.limit_settings import changes as limit_changes
from raftwork.features.limits import ConfigureLimit
from raftwork.messages import Code, Extras, OnConflict, Spec, encode_spec
from raftwork.wire import pack
from tests.unit.broker.machine.driver import Driver, configured, spec_of


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


def _unique(id_: str, payload: bytes, queue: str = "default", **options: Any) -> Admit:
    spec = encode_spec(Spec("job", queue, on_conflict=OnConflict.REPLACE, **options))
    return Admit(1_000_000, spec, pack([[id_, payload, "", Extras(unique="k")]]))


@pytest.mark.parametrize("options", [{}, {"debounce": 1_000, "max_wait": 9_000}])
def test_arguments_that_replace_others_need_room_for_what_they_have_more(
    driver: Driver, options: dict[str, Any]
) -> None:
    configured(driver, max_bytes=10)
    driver.apply(_unique("a", b"123456", **options))
    driver.enqueue("x", payload=b"12")
    refused = driver.refusal(_unique("b", b"123456789", **options))
    assert (refused.code, "8 bytes wait, 10 may, and 3 more" in refused.text) == (
        Code.QUEUE_FULL,
        True,
    )
    assert driver.machine.queue("default").bytes == 8
    assert not isinstance(driver.apply(_unique("c", b"12345678", **options)).replies[0], Rejected)
    assert driver.machine.queue("default").bytes == 10


def test_what_replaces_others_by_less_is_never_refused(driver: Driver) -> None:
    driver.apply(_unique("a", b"123456"))
    driver.enqueue("x", payload=b"12345")
    configured(driver, max_length=1, max_bytes=7)
    batch = _unique("b", b"12345")
    check(driver.machine.state, batch.spec, batch.tasks)
    assert not isinstance(driver.apply(batch).replies[0], Rejected)
    assert driver.machine.queue("default").bytes == 10


def test_within_a_batch_the_last_arguments_count(driver: Driver) -> None:
    configured(driver, max_bytes=10)
    spec = encode_spec(Spec("job", "default", on_conflict=OnConflict.REPLACE))

    def batch(*sizes: int) -> Admit:
        rows = [[f"{n}", b"x" * size, "", Extras(unique="k")] for n, size in enumerate(sizes)]
        return Admit(1_000_000, spec, pack(rows))

    assert driver.refusal(batch(2, 6, 11)).code is Code.QUEUE_FULL
    assert not isinstance(driver.apply(batch(2, 6, 10)).replies[0], Rejected)
    assert driver.machine.queue("default").bytes == 10


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


def test_lanes_are_bounded_and_who_has_one_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_limits, "LANES_MAX", 2)
    driver = Driver()

    def put(id_: str, tenant: str, priority: int = 100) -> Admit:
        spec = encode_spec(Spec("module.task", "default", priority=priority))
        return Admit(driver.now, spec, pack([[id_, b"", "", Extras(tenant=tenant)]]))

    for id_, tenant in (("a", "acme"), ("b", "beta"), ("c", "acme")):
        assert driver.effects(put(id_, tenant))
    refused = driver.refusal(put("d", "gamma"))
    assert refused.code is Code.QUEUE_FULL
    assert "3 lanes, 2 are allowed" in refused.text
    assert driver.refusal(put("d", "acme", priority=101)).code is Code.QUEUE_FULL
    driver.reopen()
    assert driver.refusal(put("d", "gamma")).code is Code.QUEUE_FULL
    assert driver.effects(put("d", "", priority=101))  # on nobody's behalf
    for token in driver.assign(1, 2, 3):
        driver.finish(token)
    assert driver.effects(put("e", "gamma"))


def test_each_key_that_a_limit_counts_apart_is_a_lane_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_limits, "LANES_MAX", 2)
    driver = Driver()
    driver.apply(ConfigureLimit("each", limit_changes(concurrency=1, per="key")))
    driver.apply(ConfigureLimit("all", limit_changes(concurrency=1)))

    def put(id_: str, key: str, *limits: str) -> Admit:
        spec = encode_spec(Spec("module.task", "default", limits=limits))
        return Admit(driver.now, spec, pack([[id_, b"", key]]))

    for id_, key in (("a", "k"), ("b", "l"), ("c", "k")):
        assert driver.effects(put(id_, key, "each"))
    assert "3 lanes, 2 are allowed" in driver.refusal(put("d", "m", "each")).text
    assert "3 lanes, 2 are allowed" in driver.refusal(put("d", "k", "all", "each")).text
    assert driver.effects(put("d", "m"))  # an ordinary task is of no lane
