"""Values in tasks' arguments and in lists of others' values."""

import msgpack
import pytest

from raftwork.errors import BadMessage
from raftwork.messages.flow_values import joined


@pytest.mark.parametrize("kind", [0, 3, 4, 6])
def test_what_is_no_reference_stands_as_it_came(kind: int) -> None:
    """A client's that is none of ours: an error would stop every replica."""
    template = msgpack.packb(msgpack.ExtType(kind, b"\xc1"))
    assert joined(template, {}) == template
    assert joined(b"\x91" + template, {}) == b"\x91" + template


@pytest.mark.parametrize("kind", [1, 2])
def test_a_reference_to_nothing_is_refused(kind: int) -> None:
    for slot in (b"\xc1", b"\x00", b"\xa1x"):
        with pytest.raises(BadMessage):
            joined(msgpack.packb(msgpack.ExtType(kind, slot)), {})


@pytest.mark.parametrize("depth", [501, 600, 1_000, 1_020, 5_000])
def test_too_many_lists_in_each_other_are_refused(depth: int) -> None:
    for template in (b"\x91" * depth + b"\x01", b"\x92\x01" * depth + b"\x01"):
        with pytest.raises(BadMessage):
            joined(template, {})


@pytest.mark.parametrize("depth", [501, 1_020, 5_000])
def test_dicts_stand_as_they_came_or_are_refused(depth: int) -> None:
    template = b"\x81\x00" * depth + b"\x01"
    if depth > 1_020:
        with pytest.raises(BadMessage):
            joined(template, {})
    else:
        assert joined(template, {}) == template


@pytest.mark.parametrize(
    "packed",
    [
        msgpack.packb({msgpack.Timestamp(1, 500_000_000): 1}),
        b"\x81\x90\x01",  # a key that no dict can have
        b"\x82\x01\x02\x01\x03",
    ],
)
def test_a_map_is_copied_and_never_built(packed: bytes) -> None:
    """Replicas do this, and a map whose keys collide would take them seconds."""
    assert joined(packed, {}) == packed
    assert joined(b"\x92\x91" + packed + b"\x05", {}) == b"\x92\x91" + packed + b"\x05"


def test_values_stand_where_their_references_are() -> None:
    packed = [
        msgpack.ExtType(1, b"\x00"),
        [msgpack.ExtType(2, b"\x01"), 7],
        msgpack.ExtType(1, b"\xcc\x02"),
    ]
    inputs = {0: msgpack.packb("a"), 1: msgpack.packb([1, 2]), 2: msgpack.packb({"k": None})}
    assert joined(msgpack.packb(packed), inputs) == msgpack.packb(["a", [1, 2, 7], {"k": None}])
    assert joined(msgpack.packb(packed[0]), inputs) == msgpack.packb("a")


@pytest.mark.parametrize(
    "end", [b"", b"\xc1", b"\x91", b"\xdd\xff\xff\xff\xff", b"\x01\x01", b"\xc7"]
)
def test_what_is_no_single_value_is_refused(end: bytes) -> None:
    with pytest.raises(BadMessage):
        joined(end, {})
    with pytest.raises(BadMessage):
        joined(b"\x91" + end, {})
