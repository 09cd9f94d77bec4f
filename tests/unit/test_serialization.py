"""Which arguments travel, and how the others are named."""

import enum
import math
from collections import OrderedDict

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftwork.errors import NotSerializable, PayloadTooLarge
from raftwork.messages import PAYLOAD_MAX
from raftwork.serialization import DEPTH_MAX, call_packer, pack_call
from raftwork.wire import unpack


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


def packed(*args: object, **kwargs: object) -> bytes:
    return pack_call(call_packer(), "pkg.add", args, kwargs, ("x", "y"))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(values), st.dictionaries(st.text(), values))
def test_what_is_carried_arrives_as_it_was(args: list[object], kwargs: dict[str, object]) -> None:
    assert unpack(pack_call(call_packer(), "t", args, kwargs)) == [args, kwargs]


def test_a_tuple_arrives_as_a_list_and_nan_as_nan() -> None:
    assert unpack(packed((1, (2,)))) == [[[1, [2]]], {}]
    arrived = unpack(packed(math.nan))
    assert isinstance(arrived, list) and math.isnan(arrived[0][0])


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({1, 2}, "set"),
        (object(), "object"),
        (1j, "complex"),
        (bytearray(b"x"), "bytearray"),
        (memoryview(b"x"), "memoryview"),
        (Colour.RED, "Colour"),
        (Text("x"), "Text"),
        (OrderedDict(a=1), "OrderedDict"),
        (msgpack.ExtType(1, b"x"), "ExtType"),
        (msgpack.Timestamp(1), "Timestamp"),
        (2**64, "an integer of more than 64 bits"),
        (-(2**63) - 1, "an integer of more than 64 bits"),
        ("\ud800", "a str with a lone surrogate"),
        ({"\ud800": 2}, "a key with a lone surrogate"),
        ({1: 2}, "a key of type int"),
        ({None: 2}, "a key of type NoneType"),
        ({Text("k"): 2}, "a key of type Text"),
        ([1, {"k": [{2}]}], "set at [1]['k'][0]"),
    ],
)
def test_anything_else_is_refused_by_the_name_of_its_argument(value: object, what: str) -> None:
    with pytest.raises(NotSerializable) as positional:
        packed(1, value)
    assert str(positional.value) == f"argument 2 'y' of pkg.add: {what}"
    with pytest.raises(NotSerializable) as named:
        packed(1, z=value)
    assert str(named.value) == f"argument 'z' of pkg.add: {what}"
    assert isinstance(named.value, TypeError)


def test_a_parameters_name_that_no_utf_8_has_is_refused() -> None:
    with pytest.raises(
        NotSerializable, match=r"argument '\\ud800' of pkg\.add: a name with a lone"
    ):
        packed(1, **{"\ud800": 2})


def test_an_argument_beyond_the_known_parameters_is_named_by_its_place() -> None:
    with pytest.raises(NotSerializable, match=r"argument 3 of pkg\.add: set"):
        packed(1, 2, {3})


def test_nesting_is_bounded_so_that_a_cycle_ends() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(NotSerializable, match=f"nested deeper than {DEPTH_MAX}"):
        packed(cycle)
    deep: object = 1
    for _ in range(DEPTH_MAX):
        deep = [deep]
    assert unpack(packed(deep)) == [[deep], {}]
    with pytest.raises(NotSerializable, match="nested deeper"):
        packed([deep])


def test_a_refused_call_leaves_nothing_for_the_next_one() -> None:
    packer = call_packer()
    with pytest.raises(NotSerializable):
        pack_call(packer, "t", (1, 2**70), {})
    assert unpack(pack_call(packer, "t", (7,), {})) == [[7], {}]


def test_a_payload_over_the_limit_is_refused_with_both_sizes() -> None:
    with pytest.raises(PayloadTooLarge, match=rf"pkg\.add are 10485\d\d bytes.*{PAYLOAD_MAX}"):
        packed(b"x" * PAYLOAD_MAX)
    assert len(packed(b"x" * (PAYLOAD_MAX - 8))) == PAYLOAD_MAX
