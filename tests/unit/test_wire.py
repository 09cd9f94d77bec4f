"""What a frame may cost to take apart."""

from typing import NamedTuple

import msgpack
import pytest

from raftwork.errors import BadMessage, NewerMessage
from raftwork.features import from_broker, to_broker
from raftwork.features.enqueue import Enqueue
from raftwork.features.results import Results
from raftwork.messages import FRAME_BYTES_MAX, Acknowledged, Code, Refused, Result, State
from raftwork.wire import CONTAINERS_MAX, Codec, pack, size_of_head, unpack, unpack_frame

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


@pytest.mark.parametrize("size", [0, 100_000])
def test_a_frame_has_no_maps(size: int) -> None:
    """Keys with the same hash take seconds to store."""
    frame = pack([3, {float(2**n): n for n in range(1000)}, bytes(size)])
    with pytest.raises(BadMessage, match="max_map_len"):
        to_broker.decode(frame)
    with pytest.raises(BadMessage, match="max_map_len"):
        unpack_frame(frame)


def test_timestamps_are_floats_as_thousands_of_objects_may_have_one_hash() -> None:
    packed = msgpack.packb({msgpack.Timestamp(1, 500_000_000): msgpack.Timestamp(2, 0)})
    ((key, value),) = unpack(packed).items()  # type: ignore[attr-defined]
    assert (type(key), key, type(value), value) == (float, 1.5, float, 2.0)
    assert unpack_frame(msgpack.packb(msgpack.Timestamp(2, 0))) == 2.0


def test_as_many_as_ours_may_have_pass() -> None:
    assert len(unpack_frame(pack([[]] * (CONTAINERS_MAX - 1)))) == CONTAINERS_MAX - 1  # type: ignore[arg-type]
    batch = pack([[str(n), b"x" * 100] for n in range(10_001)])
    frame = to_broker.encode(Enqueue(1, 0, b"", batch))
    assert to_broker.decode(frame) == Enqueue(1, 0, b"", batch)


def test_what_a_task_returns_has_no_such_limit() -> None:
    value: list[object] = [[]] * (CONTAINERS_MAX + 1)
    assert unpack(msgpack.packb(value)) == value


@pytest.mark.parametrize("token", [-1, 2**63, True, 1.0, "1", None, [1]])
def test_a_list_of_integers_has_no_other_values(token: object) -> None:
    frame = from_broker.encode(Acknowledged(1, 2, [1, token, 3]))  # type: ignore[list-item]
    with pytest.raises(BadMessage, match="Acknowledged: expected"):
        from_broker.decode(frame)


def test_a_list_of_integers_comes_as_it_went() -> None:
    for tokens in ([], [0, 2**63 - 1]):
        message = Acknowledged(1, 2, tokens)
        assert from_broker.decode(from_broker.encode(message)) == message


@pytest.mark.parametrize("state", [99, -1, True, 1.0, "LOST", None, []])
def test_an_enumeration_has_its_numbers_and_no_others(state: object) -> None:
    frame = from_broker.encode(Results([Result("a", state, b"")]))  # type: ignore[arg-type]
    with pytest.raises(BadMessage, match="Results: expected"):
        from_broker.decode(frame)


def test_a_reason_that_a_newer_broker_has_is_some_other() -> None:
    frame = from_broker.encode(Refused(1, 99, "because"))  # type: ignore[arg-type]
    assert from_broker.decode(frame) == Refused(1, Code.OTHER, "because")


def test_what_an_older_peer_leaves_out_has_its_default() -> None:
    result = Result("a", State.LOST, b"")
    frame = from_broker.encode(Results([result]))
    without = msgpack.unpackb(frame)
    without[1][0] = without[1][0][:3]
    with_more = [*without[:1], [[*result, "new"]], "newer"]
    for values in (without, with_more):
        assert from_broker.decode(pack(values)) == Results([result])
    without[1][0] = without[1][0][:2]
    with pytest.raises(BadMessage, match="at least 3"):
        from_broker.decode(pack(without))


class Inner(NamedTuple):
    a: int


class Outer(NamedTuple):
    inner: Inner
    many: list[Inner]
    pairs: tuple[tuple[int, str], ...]
    maybe: Inner | None = None


TOLERANT: Codec[Outer] = Codec({1: Outer})
STRICT: Codec[Outer] = Codec({1: Outer}, strict=True)
SURPLUS = [
    [1, [1], [], [], None, 7],
    [1, [1, 7], [], []],
    [1, [1], [[2, 7]], []],
    [1, [1], [], [[3, "x", 7]]],
    [1, [1], [], [], [4, 7]],
]


@pytest.mark.parametrize("plain", SURPLUS)
def test_surplus_fields_are_dropped_or_a_newer_message(plain: list[object]) -> None:
    assert isinstance(TOLERANT.decode(pack(plain)), Outer)
    with pytest.raises(NewerMessage, match=r"Outer with \d fields instead of \d"):
        STRICT.decode(pack(plain))


def test_fewer_fields_take_their_defaults_either_way() -> None:
    for codec in (TOLERANT, STRICT):
        assert codec.decode(pack([1, [1], [], []])) == Outer(Inner(1), [], (), None)
        with pytest.raises(BadMessage, match="at least 3") as caught:
            codec.decode(pack([1, [1], []]))
        assert not isinstance(caught.value, NewerMessage)


@pytest.mark.parametrize(("rest", "request_"), [([], 0), ([5, "x"], 5), (["x"], 0), ([True], 0)])
def test_an_unknown_tag_is_a_newer_message_and_tells_its_request(
    rest: list[object], request_: int
) -> None:
    with pytest.raises(NewerMessage, match="tag 9") as caught:
        TOLERANT.decode(pack([9, *rest]))
    assert caught.value.request == request_


@pytest.mark.parametrize("tag", [-1, "1", 1.0, None, True, [1]])
def test_what_begins_with_no_tag_is_no_message(tag: object) -> None:
    with pytest.raises(BadMessage) as caught:
        TOLERANT.decode(pack([tag]))
    assert not isinstance(caught.value, NewerMessage)


@pytest.mark.parametrize("tag", [1.0, True])
def test_what_is_equal_to_a_tag_is_none(tag: object) -> None:
    """Also once the record of that tag has come."""
    TOLERANT.decode(pack([1, [1], [], []]))
    for fields in ([[1], [], []], [[1], [], [], None]):
        with pytest.raises(BadMessage, match="tag"):
            TOLERANT.decode(pack([tag, *fields]))


def test_a_record_above_the_level_is_a_newer_message() -> None:
    codec: Codec[Inner | Outer] = Codec({1: Inner})
    codec.register(2, since=2)(Outer)
    assert codec.from_plain([1, 1], 0) == Inner(1)
    assert codec.from_plain([2, [1], [], []], 2) == Outer(Inner(1), [], ())
    with pytest.raises(NewerMessage, match="Outer is of level 2, the cluster's is 1"):
        codec.from_plain([2, [1], [], []], 1)


class Early(NamedTuple):
    later: "Later"


EARLY: Codec[Early] = Codec({1: Early})


class Later(NamedTuple):
    number: int


def test_a_record_is_looked_into_when_the_first_one_comes() -> None:
    """To look into all of them takes a client as long as to define them."""
    assert EARLY.decode(pack([1, [7]])) == Early(Later(7))
    with pytest.raises(BadMessage, match="Early: expected"):
        EARLY.decode(pack([1, 7]))


class Pair(NamedTuple):
    left: int
    right: str | None = None


class Gaps(NamedTuple):
    pairs: list[Pair | None]
    numbers: tuple[float | None, ...]
    flags: list[bool | None]


def test_a_list_may_have_gaps_between_values_of_any_type() -> None:
    codec = Codec[Gaps]({1: Gaps})
    gaps = Gaps([None, Pair(1, "x"), Pair(2)], (None, 1.5), [True, None])
    assert codec.decode(codec.encode(gaps)) == gaps
    for wrong in ([1, [[]], [], []], [1, [0], [], []], [1, [], ["1"], []], [1, [], [], [1]]):
        with pytest.raises(BadMessage, match="Gaps: expected"):
            codec.from_plain(wrong)


def test_where_the_head_of_an_array_ends_is_told_without_reading_it() -> None:
    packed = pack([[1, {"a": b"x" * 300}], "two", 3])
    ends = [size_of_head(packed, items) for items in range(4)]
    assert [packed[start:] for start in ends[1:]] == [pack("two") + pack(3), pack(3), b""]
    assert ends[0] == 1
    for broken in (b"", b"\xc0", packed[:-1]):
        with pytest.raises(BadMessage):
            size_of_head(broken, 3)
