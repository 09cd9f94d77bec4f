"""What a broker counts while it serves: bounded, whoever asks for what."""

import pytest

from raftwork.broker import service_counters
from raftwork.broker.service_counters import ServiceCounters
from raftwork.features.purge_queue import PurgeQueue
from raftwork.features.results import Ask
from raftwork.messages import Code


def test_requests_are_told_by_what_they_are() -> None:
    counters = ServiceCounters()
    for type_ in (PurgeQueue, Ask, PurgeQueue):
        counters.requests[type_] += 1
    assert counters.told(0, 0).requests == [("ask", 1), ("purge_queue", 2)]


def test_refused_enqueues_are_told_by_queue_and_reason() -> None:
    counters = ServiceCounters()
    counters.refused(["mail"], Code.QUEUE_FULL, {"mail"})
    counters.refused(["mail"], Code.QUEUE_FULL, {"mail"})
    counters.refused(["mail"], Code.PAYLOAD_TOO_LARGE, {"mail"})
    assert counters.told(0, 0).refused == [("mail", "full", 2), ("mail", "payload_too_large", 1)]


def test_names_that_strangers_choose_make_no_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_counters, "QUEUES_MAX", 2)
    counters = ServiceCounters()
    counters.refused([], Code.PROTOCOL, set())
    for n in range(5):
        counters.refused([f"q{n}"], Code.QUEUE_FULL, {f"q{m}" for m in range(1, 5)})
    assert counters.told(0, 0).refused == [
        ("other", "full", 3),
        ("other", "protocol", 1),
        ("q1", "full", 1),
        ("q2", "full", 1),
    ]
