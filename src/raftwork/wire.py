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

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from functools import partial
from operator import call
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Generic, TypeVar, cast, get_args, get_origin, get_type_hints

import msgpack

from raftwork.errors import BadMessage, NewerMessage

INT_MAX = 2**63 - 1
#: Above every level of a cluster.
LEVEL_ANY = INT_MAX
#: Arrays, maps and extensions in a frame: far more than any of ours has. They cost a hundred times
#: what their one byte says, so that one large frame could hold up a leader for seconds.
CONTAINERS_MAX = 250_000
#: Frames of fewer bytes hold few enough.
_SMALL = 64 * 1024

_header = msgpack.Packer()

Check = Callable[[object], object]
_check = cast("Callable[[Check, object], object]", call)
T = TypeVar("T", bound=tuple)  # type: ignore[type-arg]
R = TypeVar("R", bound=type[tuple])  # type: ignore[type-arg]


class _Mismatch(Exception):
    """What a value should have been; becomes a BadMessage at the border."""


class _Surplus(Exception):
    """A field too many where all are to be known; becomes a NewerMessage at the border."""


def _int(value: object) -> int:
    if type(value) is not int or not 0 <= value <= INT_MAX:
        raise _Mismatch("an integer from 0 to 2^63-1")
    return value


def _float(value: object) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    raise _Mismatch("a number")


def _exactly(kind: type) -> Check:
    def check(value: object) -> object:
        if type(value) is not kind:
            raise _Mismatch(f"a value of type {kind.__name__}")
        return value

    return check


def _optional(inner: Check) -> Check:
    return lambda value: None if value is None else inner(value)


def _many(inner: Check, make: Callable[[Iterable[object]], object]) -> Check:
    def check(value: object) -> object:
        if type(value) is not list:
            raise _Mismatch("a list")
        return make(map(inner, value))

    return check


def _many_ints(value: object) -> object:
    """As `_many(_int, list)`, without a call for each."""
    if type(value) is not list:
        raise _Mismatch("a list")
    if value and (set(map(type, value)) != {int} or min(value) < 0 or max(value) > INT_MAX):
        raise _Mismatch("integers from 0 to 2^63-1")
    return value


def _fixed(
    inner: list[Check],
    defaults: tuple[object, ...],
    make: Callable[[Iterable[object]], object],
    *,
    strict: bool,
) -> Check:
    whole, required = len(inner), len(inner) - len(defaults)

    def check(value: object) -> object:
        # Fewer than all is an older peer, for which the defaults stand; more is a newer one.
        if type(value) is not list or (given := len(value)) < required:
            raise _Mismatch(f"an array of at least {required} values")
        if given > whole and strict:
            raise _Surplus(f"{given} fields instead of {whole}")
        checked = map(_check, inner, value)
        return make(checked if given >= whole else (*checked, *defaults[given - required :]))

    return check


_SCALARS: dict[object, Check] = {
    int: _int,
    float: _float,
    bool: _exactly(bool),
    str: _exactly(str),
    bytes: _exactly(bytes),
}


def _compile(annotation: Any, *, strict: bool) -> Check:
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is UnionType or (origin is not None and NoneType in args):
        (inner,) = (a for a in args if a is not NoneType)
        return _optional(_compile(inner, strict=strict))
    if origin is list:
        if args[0] is int:
            return _many_ints
        return _many(_compile(args[0], strict=strict), list)
    if origin is tuple:
        if len(args) == 2 and args[1] is ...:
            return _many(_compile(args[0], strict=strict), tuple)
        return _fixed([_compile(a, strict=strict) for a in args], (), tuple, strict=strict)
    if isinstance(annotation, type) and issubclass(annotation, IntEnum):
        return _compile_enum(annotation)
    return record_check(annotation, strict=strict)


def _compile_enum(kind: type[IntEnum]) -> Check:
    members = {member.value: member for member in kind}  # to call `kind` takes five times as long

    def named(value: object) -> object:
        """One that a newer peer knows may have a stand-in here."""
        try:
            return kind(_int(value))
        except ValueError:
            raise _Mismatch(f"the number of a {kind.__name__}") from None

    def check(value: object) -> object:
        known = members.get(value) if type(value) is int else None
        return known if known is not None else named(value)

    return check


def record_check(record: type[tuple[object, ...]], *, strict: bool = False) -> Check:
    """Compile a NamedTuple's annotations into a check that builds it from a decoded list."""
    fields: tuple[str, ...] = record._fields  # type: ignore[attr-defined]
    defaults: dict[str, object] = record._field_defaults  # type: ignore[attr-defined]
    hints = get_type_hints(record)
    inner = [_compile(hints[name], strict=strict) for name in fields]
    # Not `_make`, which counts once more what was counted here.
    make = partial(tuple.__new__, record)
    return _fixed(inner, tuple(defaults.values()), make, strict=strict)


def pack(value: object) -> bytes:
    """Any plain value as msgpack."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def pack_array(packed: Sequence[bytes]) -> bytes:
    """An array of values that are packed already."""
    head: bytes = _header.pack_array_header(len(packed))
    return head + b"".join(packed)


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
    return _unpack(data, {})


def unpack_frame(data: bytes | memoryview) -> object:
    """`unpack`, but for what a stranger may have sent: with a limit of containers."""
    if len(data) <= _SMALL:
        return unpack(data)
    counted = Countdown(CONTAINERS_MAX)
    return _unpack(
        data,
        {
            "list_hook": counted,
            "object_hook": counted,
            "ext_hook": counted,
            "timestamp": 1,  # a float: no objects for them either
            # No record has a map, and keys that collide would take seconds to store.
            "max_map_len": 0,
        },
    )


def _unpack(data: bytes | memoryview, limits: dict[str, Any]) -> object:
    try:
        # unpackb bounds every announced length by the frame's own: a lying header buys no memory.
        value: object = msgpack.unpackb(
            data, raw=False, use_list=True, strict_map_key=False, **limits
        )
    except Exception as error:  # noqa: BLE001 - a dozen kinds, and G8 wants none of them to pass
        raise BadMessage(f"not msgpack: {type(error).__name__}: {error}") from None
    return value


class Codec(Generic[T]):
    """Encodes and decodes the records that are registered, each under a tag that never changes.

    `strict` says that surplus fields are not dropped.
    """

    def __init__(
        self, records: Mapping[int, type[T]] = MappingProxyType({}), *, strict: bool = False
    ) -> None:
        self._strict = strict
        self._tags: dict[type[T], int] = {}
        self._records: dict[int, tuple[type[T], int]] = {}
        #: Those that have come so far, with their checks.
        self._checks: dict[int, tuple[type[T], Check, int]] = {}
        for tag, record in records.items():
            self.register(tag)(record)

    def register(self, tag: int, *, since: int = 0) -> Callable[[R], R]:
        """A class decorator: the record's tag is this one.

        `since` is the level of a cluster (release.py) at which the record came to be. Raises
        ValueError if the tag or the record is taken already.
        """

        def add(record: R) -> R:
            known = cast("type[T]", record)
            if tag in self._records:
                raise ValueError(f"tag {tag} is {self._records[tag][0].__name__}'s already")
            if known in self._tags:
                raise ValueError(f"{record.__name__} has the tag {self._tags[known]} already")
            self._tags[known] = tag
            self._records[tag] = known, since
            return record

        return add

    def _compile(self, tag: int) -> tuple[type[T], Check, int] | None:
        """The record of this tag, with its check; None if there is none.

        Made when the first one comes: each process meets a few of all, and to make a check takes
        as long as to define its record.
        """
        if tag not in self._records:
            return None
        record, since = self._records[tag]
        made = self._checks[tag] = record, record_check(record, strict=self._strict), since
        return made

    @property
    def records(self) -> Mapping[int, type[T]]:
        """What is registered, by tag."""
        return {tag: record for tag, (record, *_) in self._records.items()}

    def encode(self, record: T) -> bytes:
        """The record as msgpack, its tag first. Raises KeyError if it is not registered."""
        return pack((self._tags[type(record)], *record))

    def decode(self, data: bytes | memoryview) -> T:
        """The record in `data`. Raises BadMessage (NewerMessage is one) and nothing else."""
        return self.from_plain(unpack_frame(data))

    def plain(self, record: T) -> tuple[object, ...]:
        """The record as plain values, for nesting in another frame; inverse of `from_plain`."""
        return (self._tags[type(record)], *record)

    def from_plain(self, values: object, level: int = LEVEL_ANY) -> T:
        """The record in plain values. Raises as `decode`; NewerMessage for one above `level`."""
        if type(values) is not list or not values:
            raise BadMessage("a message is a non-empty array")
        tag = values[0]
        if type(tag) is not int or tag < 0:
            raise BadMessage(f"a message begins with its tag, not with {tag!r:.40}")
        known = self._checks.get(tag) or self._compile(tag)
        if known is None:
            raise NewerMessage(f"unknown message tag {tag}", _request(values))
        record, check, since = known
        if since > level:
            raise NewerMessage(f"{record.__name__} is of level {since}, the cluster's is {level}")
        try:
            made: T = check(values[1:])  # type: ignore[assignment]
        except _Mismatch as error:
            raise BadMessage(f"{record.__name__}: expected {error}") from None
        except _Surplus as error:
            raise NewerMessage(f"{record.__name__} with {error}") from None
        return made


def _request(values: list[object]) -> int:
    """What stands where a client's requests have their number; 0 if nothing like it does."""
    number = values[1] if len(values) > 1 else 0
    return number if type(number) is int and 0 <= number <= INT_MAX else 0
