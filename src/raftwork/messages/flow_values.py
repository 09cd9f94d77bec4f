"""Values of tasks inside the arguments of others: a reference to each, and what stands there later.

A node's arguments are packed once, by the program that makes the flow. Where the value of another
node is to stand they have a reference: the slot of the edge that brings it. Workers put the values
in; for a join, whose value is a list of others' values, every replica does, byte for byte.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

import msgpack

from raftwork.errors import BadMessage, CannotDecrypt
from raftwork.messages.failures import Failure as FailureRecord
from raftwork.messages.failures import decode_failure, encode_failure
from raftwork.messages.shared import State
from raftwork.sealing import SEALED_TYPE, is_sealed
from raftwork.wire import array_head, pack, pack_array

#: Extension types of msgpack. Callers cannot send any: what they pack has none.
_REFERENCE: Final = 1
_SPREAD: Final = 2
_FAILURE: Final = 3
#: First bytes of a packed list, and of a packed extension.
_LISTS: Final = frozenset((*range(0x90, 0xA0), 0xDC, 0xDD))
_EXTENSIONS: Final = frozenset((*range(0xC7, 0xCA), *range(0xD4, 0xD9)))
#: Lists in each other that replicas look into: far from where Python ends a recursion.
_LISTS_MAX: Final = 500
#: Bytes of the value of a join where nothing else is said: what one frame has room for.
_MADE_MAX: Final = 16 * 1024 * 1024
#: In a list: the items of a value that is sealed (sealing.py) stand there.
_SPREAD_SEALED: Final = 5


class Reference(NamedTuple):
    """Stands for the value that the edge of this slot brings."""

    slot: int
    #: The value is a list, whose items stand there.
    spread: bool = False


class Failure(NamedTuple):
    """Stands for the value of a task that has none, where `on_error="continue"` asks for it."""

    type: str
    message: str
    traceback: str
    #: failed, lost or cancelled.
    status: str


#: What stands in arguments where a value will stand, or would.
STAND_INS: Final = frozenset({Reference, Failure})


def packed_reference(reference: Reference) -> msgpack.ExtType:
    """As it goes into a packed template."""
    kind = _SPREAD if reference.spread else _REFERENCE
    return msgpack.ExtType(kind, pack(reference.slot))


def packed_input(state: State, data: bytes) -> bytes:
    """What an edge brings from a task in this final state: its value, or a Failure, packed.

    `data` as in Result. A failure goes as it is stored, and is put into words where it is read.
    """
    if state is State.SUCCEEDED:
        return data
    return pack(msgpack.ExtType(_FAILURE, pack((int(state), data))))


def unpack_value(data: bytes | memoryview) -> object:
    """A value in which failures may stand, or a template.

    Raises BadMessage; CannotDecrypt for one that is sealed, as a whole or in parts.
    """
    return _unpack(data, _read)


def _unpack(data: bytes | memoryview, hook: Callable[[int, bytes], object]) -> object:
    try:
        # No objects for timestamps (wire.py): replicas read templates of up to a mebibyte.
        value: object = msgpack.unpackb(
            data, raw=False, use_list=True, strict_map_key=False, timestamp=1, ext_hook=hook
        )
    except CannotDecrypt:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the bytes, it is one error (wire.py)
        raise BadMessage(f"not msgpack: {type(error).__name__}: {error}") from None
    return value


class Opener(Protocol):
    """Opens what is sealed."""

    def value(self, data: bytes) -> bytes:
        """A packed value. Raises CannotDecrypt, also for one that is not sealed and must be."""
        ...

    def failure(self, failure: FailureRecord) -> FailureRecord:
        """With its texts."""
        ...


def opened(data: bytes, opener: Opener) -> bytes:
    """A packed value with all that is sealed in it opened. Raises CannotDecrypt, BadMessage.

    Brokers make lists of values, and put failures where there is none; nothing else of theirs
    counts.
    """
    if is_sealed(data):
        return opener.value(data)
    return _opened(_unpack(data, msgpack.ExtType), opener)


def _opened(value: object, opener: Opener) -> bytes:
    if type(value) is list:
        items: list[bytes] = []
        for item in value:
            if type(item) is msgpack.ExtType and item.code == _SPREAD_SEALED:
                items += items_of(opener.value(item.data))
            else:
                items.append(_opened(item, opener))
        return pack_array(items)
    if type(value) is msgpack.ExtType and value.code == _FAILURE:
        state, ending = msgpack.unpackb(value.data)
        words = opener.failure(decode_failure(ending))
        return pack(msgpack.ExtType(_FAILURE, pack((state, encode_failure(words)))))
    return opener.value(pack(value))


def _read(kind: int, data: bytes) -> object:
    if kind in {SEALED_TYPE, _SPREAD_SEALED}:
        raise CannotDecrypt(
            "a value is encrypted, and this process has no key for contents: App(codec=…) or"
            " RAFTWORK_SECRETS"
        )
    if kind == _FAILURE:
        state, ending = msgpack.unpackb(data)
        words = decode_failure(ending)
        status = State(state).name.lower()
        return Failure(words.type, words.message, words.traceback, status)
    return _read_reference(kind, data)


def _reference(kind: int, data: bytes) -> Reference:
    slot = msgpack.unpackb(data)
    if type(slot) is not int:
        raise ValueError("a reference is the number of a slot")
    return Reference(slot, kind == _SPREAD)


def filled(template: bytes, inputs: Mapping[int, bytes]) -> object:
    """The template as a value, with the packed values of `inputs` by slot. Raises BadMessage."""
    return _fill(unpack_value(template), inputs)


def _fill(value: object, inputs: Mapping[int, bytes]) -> object:
    if type(value) is Reference:
        return unpack_value(_of(value, inputs))
    if type(value) is list:
        items: list[object] = []
        for item in value:
            if type(item) is Reference and item.spread:
                spread = unpack_value(_of(item, inputs))
                items.extend(spread if type(spread) is list else [spread])
            else:
                items.append(_fill(item, inputs))
        return items
    if type(value) is dict:
        return {key: _fill(item, inputs) for key, item in value.items()}
    return value


def without_references(value: object) -> object:
    """A template for people: where a value is to stand, it says so."""
    if type(value) is Reference:
        return f"<value {value.slot + 1} that it waits for>"
    if type(value) is list:
        return [without_references(item) for item in value]
    if type(value) is dict:
        return {key: without_references(item) for key, item in value.items()}
    return value


class JoinTooLarge(Exception):
    """The value of a join would have `size` bytes, which are too many."""

    def __init__(self, size: int) -> None:
        super().__init__(f"a join of {size} bytes")
        self.size = size


def joined(template: bytes, inputs: Mapping[int, bytes], limit: int = _MADE_MAX) -> bytes:
    """The template of a join, packed, with the values of `inputs` by slot.

    Every replica does this, and whatever it is given it must end alike on all of them: of a
    template they look at lists and references alone. All else is copied: a map with keys chosen
    to collide takes the square of their number to build, seconds for what fits into a mebibyte.

    Raises BadMessage; JoinTooLarge for a value of more than `limit` bytes. A template may name one
    value any number of times: what is beyond the limit is counted, and never built.
    """
    making = _Join(template, inputs, limit)
    try:
        making.value(_LISTS_MAX)
        end = making.tell()
    except BadMessage:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the bytes, it is one error (wire.py)
        raise BadMessage(f"not msgpack: {type(error).__name__}: {error}") from None
    if end != len(template):
        raise BadMessage(f"{len(template) - end} bytes behind a value")
    return making.made()


def _read_reference(kind: int, data: bytes) -> object:
    if kind in {_REFERENCE, _SPREAD}:
        return _reference(kind, data)
    return msgpack.ExtType(kind, data)


class _Join:
    """The value of a join in the making: its parts, and how many bytes they have together."""

    def __init__(self, template: bytes, inputs: Mapping[int, bytes], limit: int) -> None:
        self._template, self._inputs, self._limit = template, inputs, limit
        self._unpacker = msgpack.Unpacker(max_buffer_size=max(1, len(template)))
        self._unpacker.feed(template)
        self._parts: list[bytes] = []
        self._size = 0

    def tell(self) -> int:
        """How much of the template is read."""
        return int(self._unpacker.tell())

    def made(self) -> bytes:
        """All of it. Raises JoinTooLarge."""
        if self._size > self._limit:
            raise JoinTooLarge(self._size)
        return b"".join(self._parts)

    def value(self, depth: int) -> None:
        """Read the next value of the template; lists in it may be so deep.

        One call a level, so that Python's own bound, which is not that of every replica's stack,
        is far away.
        """
        if self._template[self._unpacker.tell()] not in _LISTS:
            self._single(spread=False)
            return
        if not depth:
            raise BadMessage(f"more than {_LISTS_MAX} lists in each other")
        at, count = len(self._parts), 0
        self._parts.append(b"")
        for _ in range(self._unpacker.read_array_header()):
            if self._template[self._unpacker.tell()] in _LISTS:
                self.value(depth - 1)
                count += 1
            else:
                count += self._single(spread=True)
        self._parts[at] = array_head(count)
        self._size += len(self._parts[at])

    def _single(self, *, spread: bool) -> int:
        """The next value, which is no list; how many items of a list it makes."""
        start = self._unpacker.tell()
        self._unpacker.skip()
        packed = self._template[start : self._unpacker.tell()]
        if packed[0] in _EXTENSIONS:
            found = msgpack.unpackb(packed, ext_hook=_read_reference, timestamp=1)
            if type(found) is Reference:
                value = _of(found, self._inputs)
                if spread and found.spread:
                    return self._spread(value)
                packed = value
        self._add(packed)
        return 1

    def _spread(self, value: bytes) -> int:
        """The items of a list stand here: copied as one, however many they are."""
        if is_sealed(value):
            self._add(pack(msgpack.ExtType(_SPREAD_SEALED, value)))
            return 1
        head = _head_of_list(value)
        if head is None:
            self._add(value)
            return 1
        count, start = head
        self._add(value[start:])
        return count

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._limit:
            self._parts.append(part)


def _head_of_list(packed: bytes) -> tuple[int, int] | None:
    """How many items a packed list has, and where they begin; None of what is no list.

    The bytes are a worker's: if they are more or fewer than one list they are none.
    """
    unpacker = msgpack.Unpacker()
    try:
        unpacker.feed(packed)
        unpacker.skip()
        if packed[0] not in _LISTS or unpacker.tell() != len(packed):
            return None
        unpacker = msgpack.Unpacker()
        unpacker.feed(packed[:5])
        return unpacker.read_array_header(), int(unpacker.tell())
    except Exception:  # noqa: BLE001 - of a value that is none of ours; it stands for itself
        return None


def as_shard(payload: bytes, index: int, count: int) -> bytes:
    """The packed call with what `current().shard` is in it, beside its headers.

    Of one that is sealed the call stands for itself: who opens it makes this again.
    """
    items = items_of(payload)
    besides = items[2] if len(items) > 2 else b""
    return pack_array([*items[:2], with_entry(besides, "shard", [index, count])])


def taken_from_shard(payload: bytes) -> tuple[bytes, tuple[int, int] | None]:
    """The sealed call in such a one, and its shard; else the payload as it is."""
    match [] if is_sealed(payload) else _unpack(payload, msgpack.ExtType):
        case [msgpack.ExtType(code=5, data=data), {"shard": [int(index), int(count)]}]:
            return data, (index, count)
    return payload, None


def with_entry(packed: bytes, key: str, value: object) -> bytes:
    """A packed dict with one more entry; in the place of what is no dict one with this alone."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(packed)
    try:
        count, entries = unpacker.read_map_header(), packed[unpacker.tell() :]
    except Exception:  # noqa: BLE001 - of a value that is none of ours
        count, entries = 0, b""
    packer = msgpack.Packer()
    return b"".join(
        (packer.pack_map_header(count + 1), entries, packer.pack(key), packer.pack(value))
    )


def items_of(packed: bytes) -> list[bytes]:
    """The items of a packed list, packed; what is no list is its own only item."""
    if is_sealed(packed):
        return [pack(msgpack.ExtType(_SPREAD_SEALED, packed))]
    unpacker = msgpack.Unpacker()
    unpacker.feed(packed)
    items: list[bytes] = []
    try:
        for _ in range(unpacker.read_array_header()):
            start = unpacker.tell()
            unpacker.skip()
            items.append(packed[start : unpacker.tell()])
    except Exception:  # noqa: BLE001 - of a value that is none of ours; it stands for itself
        return [packed]
    return items


def _of(reference: Reference, inputs: Mapping[int, bytes]) -> bytes:
    data = inputs.get(reference.slot)
    if data is None:
        raise BadMessage(f"no value came for slot {reference.slot}")
    return data
