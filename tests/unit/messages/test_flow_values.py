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


def test_a_timestamp_in_a_template_is_a_float() -> None:
    """Replicas read templates, and a map whose keys all have one hash would take them minutes."""
    template = msgpack.packb([{msgpack.Timestamp(1, 500_000_000): 1}])
    assert joined(template, {}) == msgpack.packb([{1.5: 1}])
