"""Tagged records over msgpack: the one way bytes from outside become values.

Rules of this file:
1. Every record is a NamedTuple whose annotations are its schema. `Codec` compiles them once
   into checks, so no frame reaches the code behind it with a field of another type.
2. Decoding never raises anything but `BadMessage`, whatever the bytes (G8).
3. A record's field types are among: bool, int (0 … 2⁶³-1), float, str, bytes, `X | None`,
   list[X], tuple[X, ...], tuple[X, Y], and other NamedTuples. Records are msgpack arrays
   without field names; a new field goes to the end, with a default, so that a peer one version
   older can still speak.
4. Frames are read tolerantly: surplus fields are a newer peer's, and dropped. What is replicated is
   read strictly (`strict=True`), nested records too: replicas that drop what others carry out would
   diverge, so a surplus field raises NewerMessage, as an unknown tag does everywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

import msgpack

from raftwork.errors import BadMessage, NewerMessage
from raftwork.record_checks import INT_MAX, Check, maker, record_check

__all__ = [
    "INT_MAX",
    "Codec",
    "maker",
    "pack",
    "pack_array",
    "record_check",
    "size_of_head",
    "unpack",
    "unpack_frame",
]

#: Above every level of a cluster.
LEVEL_ANY = INT_MAX
#: Arrays, maps and extensions in a frame: far more than any of ours has. They cost a hundred times
#: what their one byte says, so that one large frame could hold up a leader for seconds.
CONTAINERS_MAX = 250_000
#: Frames of fewer bytes hold few enough.
_SMALL = 64 * 1024

#: For heads alone: values may run code of their own, which may pack, too.
_header = msgpack.Packer()
_Packer = msgpack.Packer  # `msgpack.packb` makes one, too, and takes three times as long
# It bounds every announced length by the frame's own: a lying header buys no memory. A timestamp is
# read as a float: as objects, thousands with one hash can be made, and a map with such keys in a
# frame of 64 KiB would hold up a broker for more than a second.
_unpack = partial(msgpack.unpackb, raw=False, use_list=True, strict_map_key=False, timestamp=1)
# No record has a map, and integers can be chosen that collide, so that to store them as keys takes
# the square of their number: 20 ms for 5,000 in a frame of 64 KiB, seconds in a mebibyte.
_unpack_record = partial(_unpack, max_map_len=0)

T = TypeVar("T", bound=tuple)  # type: ignore[type-arg]
R = TypeVar("R", bound=type[tuple])  # type: ignore[type-arg]


def pack(value: object) -> bytes:
    """Any plain value as msgpack."""
    packed: bytes = _Packer().pack(value)
    return packed


def pack_array(packed: Sequence[bytes]) -> bytes:
    """An array of values that are packed already."""
    return array_head(len(packed)) + b"".join(packed)


def array_head(count: int) -> bytes:
    """What a packed array of so many values begins with."""
    head: bytes = _header.pack_array_header(count)
    return head


def array_length(packed: bytes) -> int:
    """How many values a packed array has, by its head alone. Raises BadMessage."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(packed[:9])
    try:
        length: int = unpacker.read_array_header()
    except (ValueError, msgpack.UnpackException) as error:
        raise BadMessage(f"no array: {error}") from None
    return length


class Countdown:
    """Lets so many values pass."""

    def __init__(self, left: int) -> None:
        self._left = left

    def __call__(self, value: object, *_: object) -> object:
        """Return `value`. Raises ValueError once too many have come."""
        self._left -= 1
        if self._left < 0:
            raise ValueError("too many arrays, maps and extensions")
        return value


def unpack(data: bytes | memoryview) -> object:
    """Plain values from msgpack, or BadMessage."""
    try:
        value: object = _unpack(data)
    except Exception as error:  # noqa: BLE001 - a dozen kinds, and G8 wants none of them to pass
        raise BadMessage(f"not msgpack: {type(error).__name__}: {error}") from None
    return value


def unpack_frame(data: bytes | memoryview) -> object:
    """`unpack`, but for what a stranger may have sent: with a limit of containers, and no maps."""
    try:
        limits = {} if len(data) <= _SMALL else _limits()
        value: object = _unpack_record(data, **limits)
    except Exception as error:  # noqa: BLE001 - as above
        raise BadMessage(f"not msgpack: {type(error).__name__}: {error}") from None
    return value


def size_of_head(packed: bytes, items: int) -> int:
    """Where the first items of a packed array end, in bytes; they are not read. Or BadMessage."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(packed))
    try:
        unpacker.feed(packed)
        unpacker.read_array_header()
        for _ in range(items):
            unpacker.skip()
        end: int = unpacker.tell()
    except Exception as error:  # noqa: BLE001 - as above
        raise BadMessage(f"not msgpack: {type(error).__name__}: {error}") from None
    return end


def _limits() -> dict[str, Any]:
    counted = Countdown(CONTAINERS_MAX)
    return {
        "list_hook": counted,
        "object_hook": counted,
        "ext_hook": counted,
    }


class Codec(Generic[T]):
    """Encodes and decodes the records that are registered, each under a tag that never changes.

    `strict` says that surplus fields are not dropped.
    """

    def __init__(
        self, records: Mapping[int, type[T]] = MappingProxyType({}), *, strict: bool = False
    ) -> None:
        self._strict = strict
        self._tags: dict[type[T], int] = {}
        #: Tags, with what is encoded in a record's place if that is anything else.
        self._encoded: dict[type[T], tuple[int, Callable[[T], T] | None]] = {}
        self._records: dict[int, tuple[type[T], int]] = {}
        #: Those that have come so far, with their checks.
        self._checks: dict[int, tuple[type[T], Check, int]] = {}
        for tag, record in records.items():
            self.register(tag)(record)

    def register(
        self, tag: int, *, since: int = 0, sent: Callable[[T], T] | None = None
    ) -> Callable[[R], R]:
        """A class decorator: the record's tag is this one.

        `since` is the level of a cluster (release.py) at which the record came to be; `sent` makes
        what is encoded in its place: fewer fields, that decode to the same. Raises ValueError if
        the tag or the record is taken already.
        """

        def add(record: R) -> R:
            known = cast("type[T]", record)
            if tag in self._records:
                raise ValueError(f"tag {tag} is {self._records[tag][0].__name__}'s already")
            if known in self._tags:
                raise ValueError(f"{record.__name__} has the tag {self._tags[known]} already")
            self._tags[known] = tag
            self._encoded[known] = tag, sent
            self._records[tag] = known, since
            return record

        return add

    def _compile(self, values: object) -> tuple[type[T], Check, int]:
        """The record in plain values, with its check. Raises as `from_plain`.

        Made when the first one comes: each process meets a few of all, and to make a check takes
        as long as to define its record.
        """
        if type(values) is not list or not values:
            raise BadMessage("a message is a non-empty array")
        tag = values[0]
        if type(tag) is not int or tag < 0:
            raise BadMessage(f"a message begins with its tag, not with {tag!r:.40}")
        if tag not in self._records:
            raise NewerMessage(f"unknown message tag {tag}", _request(values))
        record, since = self._records[tag]
        made = self._checks[tag] = (
            record,
            record_check(record, strict=self._strict, tagged=True),
            since,
        )
        return made

    @property
    def records(self) -> Mapping[int, type[T]]:
        """What is registered, by tag."""
        return {tag: record for tag, (record, *_) in self._records.items()}

    def encode(self, record: T) -> bytes:
        """The record as msgpack, its tag first. Raises KeyError if it is not registered."""
        tag, sent = self._encoded[type(record)]
        packed: bytes = _Packer().pack((tag, *(record if sent is None else sent(record))))
        return packed

    def decode(self, data: bytes | memoryview) -> T:
        """The record in `data`. Raises BadMessage (NewerMessage is one) and nothing else."""
        if len(data) > _SMALL:
            return self.from_plain(unpack_frame(data))
        try:
            values: object = _unpack_record(data)
        except Exception as error:  # noqa: BLE001 - as in `unpack`
            raise BadMessage(f"not msgpack: {type(error).__name__}: {error}") from None
        try:
            return self._checks[values[0]][1](values)  # type: ignore[index,return-value]
        except (LookupError, TypeError, BadMessage):  # the first of its kind, or to be explained
            return self.from_plain(values)

    def plain(self, record: T) -> tuple[object, ...]:
        """The record as plain values, for nesting in another frame; inverse of `from_plain`."""
        return (self._tags[type(record)], *record)

    def from_plain(self, values: object, level: int = LEVEL_ANY) -> T:
        """The record in plain values. Raises as `decode`; NewerMessage for one above `level`."""
        try:
            record, check, since = self._checks[values[0]]  # type: ignore[index]
        except (LookupError, TypeError):  # the first of its kind, or none at all
            record, check, since = self._compile(values)
        if since > level:
            raise NewerMessage(f"{record.__name__} is of level {since}, the cluster's is {level}")
        try:
            made: T = check(values)  # type: ignore[assignment]
        except NewerMessage as error:
            raise NewerMessage(f"{record.__name__} with {error}") from None
        except BadMessage as error:
            raise BadMessage(f"{record.__name__}: expected {error}") from None
        return made


def _request(values: list[object]) -> int:
    """What stands where a client's requests have their number; 0 if nothing like it does."""
    number = values[1] if len(values) > 1 else 0
    return number if type(number) is int and 0 <= number <= INT_MAX else 0
