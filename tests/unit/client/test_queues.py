"""What is set for a queue, as a program says and reads it."""

import asyncio
from typing import Any, cast

import pytest

from raftwork import App
from raftwork.client import sealed_requests
from raftwork.client.batch import one_call
from raftwork.client.queues import QueueSettings
from raftwork.crypto import Encryption
from raftwork.features.free_key import FreeKey
from raftwork.features.queue_settings import AskQueue, SetQueue, changes
from raftwork.features.unique import EnqueueUnique
from raftwork.messages import Spec, encode_spec
from raftwork.wire import pack, unpack
from tests.unit.client.fake_app import queue

CODEC = Encryption([b"k" * 32])
SPEC = encode_spec(Spec("m.f", "q"))


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


def unique_of(tasks: bytes) -> str:
    """The unique key of a batch of one."""
    ((_, _, _, (key, *_)),) = cast("list[tuple[str, bytes, str, list[str]]]", unpack(tasks))
    return key


def test_a_unique_key_is_freed_by_its_text_or_by_the_arguments_that_it_is_made_of() -> None:
    q, app = queue()
    assert q.free_key("m.f", "order-7")
    assert asyncio.run(q.afree_key("m.f", True, args=(1,), kwargs={"x": 2}))
    made = one_call(pack([[1], {"x": 2}]), "a", by_arguments=True)
    unique = unique_of(made.tasks)
    assert app.asked == [FreeKey(0, "q", "m.f", "order-7"), FreeKey(0, "q", "m.f", unique)]
    sealed = sealed_requests.sealed(CODEC, FreeKey(0, "q", "m.f", unique))
    enqueued = sealed_requests.sealed(CODEC, EnqueueUnique(0, 0, SPEC, made.tasks))
    assert isinstance(sealed, FreeKey)
    assert isinstance(enqueued, EnqueueUnique)
    assert sealed.key == unique_of(enqueued.tasks) != unique


@pytest.mark.parametrize("key", ["", None, 7, False, "x" * 256])
def test_what_is_no_unique_key_frees_none(key: Any) -> None:
    q, app = queue()
    with pytest.raises((TypeError, ValueError)):
        q.free_key("m.f", key)
    with pytest.raises(TypeError, match="for key=True"):
        q.free_key("m.f", "k", args=(1,))
    with pytest.raises(ValueError, match="name must have"):
        q.free_key("", "k")
    assert app.asked == []


def test_a_queues_name_is_one_that_workers_can_serve() -> None:
    with pytest.raises(ValueError, match="comma"):
        App("127.0.0.1:1").queue("a,b")
