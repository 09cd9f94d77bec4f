"""What a frame may cost to take apart."""

import msgpack
import pytest

from raftwork.errors import BadMessage
from raftwork.features import to_broker
from raftwork.features.enqueue import Enqueue
from raftwork.messages import FRAME_BYTES_MAX
from raftwork.wire import CONTAINERS_MAX, pack, unpack, unpack_frame

MANY = FRAME_BYTES_MAX - 5


def announced(count: int, items: bytes) -> bytes:
    return b"\xdd" + count.to_bytes(4, "big") + items


@pytest.mark.parametrize(
    "frame",
    [
        announced(MANY, b"\x90" * MANY),
        announced(MANY, b"\x80" * MANY),
        announced(MANY // 3, b"\xd4\x01\0" * (MANY // 3)),
    ],
    ids=["arrays", "maps", "extensions"],
)
def test_a_frame_of_more_containers_than_any_of_ours_is_none(frame: bytes) -> None:
    with pytest.raises(BadMessage, match="too many"):
        to_broker.decode(frame)


def test_a_large_frame_has_no_maps() -> None:
    """Keys with the same hash take seconds to store."""
    with pytest.raises(BadMessage, match="max_map_len"):
        to_broker.decode(pack([3, {float(2**n): n for n in range(1000)}, bytes(100_000)]))


def test_as_many_as_ours_may_have_pass() -> None:
    assert len(unpack_frame(pack([[]] * (CONTAINERS_MAX - 1)))) == CONTAINERS_MAX - 1  # type: ignore[arg-type]
    batch = pack([[str(n), b"x" * 100] for n in range(10_001)])
    frame = to_broker.encode(Enqueue(1, 0, b"", batch))
    assert to_broker.decode(frame) == Enqueue(1, 0, b"", batch)


def test_what_a_task_returns_has_no_such_limit() -> None:
    value: list[object] = [[]] * (CONTAINERS_MAX + 1)
    assert unpack(msgpack.packb(value)) == value
