"""Calls become one request, held against the limits before anything is sent."""

from collections.abc import Sequence
from typing import cast

import pytest

from raftwork.client.batch import many_calls, one_call
from raftwork.errors import NotSerializable, PayloadTooLarge
from raftwork.messages import BATCH_BYTES_MAX, BATCH_TASKS_MAX, Extras
from raftwork.serialization import call_packer, pack_call
from raftwork.wire import pack, unpack
from tests.unit.client.cluster import read


def packed(*args: object, **kwargs: object) -> bytes:
    return pack_call(call_packer(), "t", args, kwargs)


def test_one_call_carries_its_id_and_its_packed_arguments() -> None:
    batch = one_call(packed(1, "a", k=None), "my-id")
    assert batch.ids == ("my-id",)
    assert read(batch.tasks) == [("my-id", pack([[1, "a"], {"k": None}]), "", Extras())]


def test_keys_travel_beside_the_calls_and_cost_nothing_where_there_are_none() -> None:
    assert unpack(one_call(packed(), "a", "red").tasks) == [["a", pack([[], {}]), "red"]]
    assert unpack(one_call(packed(), "a").tasks) == [["a", pack([[], {}])]]
    many = many_calls("t", [(), ()], ["a", "b"], (), ["red", "blue"])
    assert unpack(many.tasks) == [["a", pack([[], {}]), "red"], ["b", pack([[], {}]), "blue"]]


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        (["a"], ValueError),
        (["a", ""], ValueError),
        (["a", "x" * 256], ValueError),
        (["a", "\ud800"], ValueError),
        (["a", 1], TypeError),
        ("ab", TypeError),
    ],
)
def test_keys_that_cannot_be_meant_are_refused(keys: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        many_calls("t", [(1,), (2,)], None, (), cast("Sequence[str]", keys))


def test_many_calls_keep_their_order_and_their_ids() -> None:
    batch = many_calls("t", [(1,), [2], ()], ["c", "a", "b"], ())
    assert batch.ids == ("c", "a", "b")
    assert unpack(batch.tasks) == [
        ["c", pack([[1], {}])],
        ["a", pack([[2], {}])],
        ["b", pack([[], {}])],
    ]


def test_ids_are_made_where_none_are_given() -> None:
    batch = many_calls("t", [(i,) for i in range(100)], None, ())
    assert len(set(batch.ids)) == 100


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        (["a"], ValueError),
        (["a", "a"], ValueError),
        (["a", ""], ValueError),
        (["a", "x" * 256], ValueError),
        (["a", "\ud800"], ValueError),
        (["a", 1], TypeError),
        ("ab", TypeError),
    ],
)
def test_ids_that_cannot_be_meant_are_refused(ids: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        many_calls("t", [(1,), (2,)], cast("Sequence[str]", ids), ())


def test_a_call_that_is_no_tuple_of_arguments_is_refused() -> None:
    with pytest.raises(TypeError, match="each call must be a tuple of arguments, got str"):
        many_calls("t", ["ab"], None, ())


def test_too_many_tasks_are_refused_with_both_numbers() -> None:
    with pytest.raises(PayloadTooLarge, match=f"{BATCH_TASKS_MAX + 1} tasks.*{BATCH_TASKS_MAX}"):
        many_calls("t", [()] * (BATCH_TASKS_MAX + 1), None, ())


def test_too_many_bytes_are_refused_with_both_sizes() -> None:
    calls = [(b"x" * 1_000_000,)] * 17
    with pytest.raises(PayloadTooLarge, match=rf"170\d{{5}} bytes.*{BATCH_BYTES_MAX}"):
        many_calls("t", calls, None, ())


def test_one_bad_call_refuses_the_batch_and_names_its_argument() -> None:
    with pytest.raises(NotSerializable, match=r"argument 1 'x' of t: set"):
        many_calls("t", [(1,), ({2},)], None, ("x",))
