"""What is set for a queue, as a program says and reads it."""

import asyncio
from typing import Any

import pytest

from raftwork import App
from raftwork.client.queues import QueueSettings
from raftwork.features.queue_settings import AskQueue, SetQueue, changes
from tests.unit.client.fake_app import queue


def test_only_what_is_given_changes_and_none_clears_it() -> None:
    q, app = queue()
    q.set(max_length=5)
    q.set(balancer="lru", max_bytes=None)
    asyncio.run(q.aset(balancer=None, max_bytes=9))
    assert app.asked == [
        SetQueue(0, "q", changes(max_length=5)),
        SetQueue(0, "q", changes(balancer="lru", max_bytes=None)),
        SetQueue(0, "q", changes(balancer=None, max_bytes=9)),
    ]


def test_what_is_set_is_read() -> None:
    q, app = queue()
    expected = QueueSettings(balancer="lru", max_bytes=7)
    assert q.settings() == asyncio.run(q.asettings()) == expected
    assert app.asked == [AskQueue(0, "q")] * 2


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({}, TypeError),
        ({"length": 1}, TypeError),
        ({"max_length": 0}, ValueError),
        ({"max_length": -1}, ValueError),
        ({"max_length": 2**53 + 1}, ValueError),
        ({"max_length": True}, TypeError),
        ({"max_bytes": 1.5}, TypeError),
        ({"balancer": ""}, ValueError),
        ({"balancer": 1}, TypeError),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    changes: dict[str, Any], error: type[Exception]
) -> None:
    q, app = queue()
    with pytest.raises(error):
        q.set(**changes)
    assert app.asked == []


def test_a_queues_name_is_one_that_workers_can_serve() -> None:
    with pytest.raises(ValueError, match="comma"):
        App("127.0.0.1:1").queue("a,b")
