"""Batches of new tasks as they travel and stand in the log: what they must be, read and measured.

It checks whole columns: a check per task would cost more than the rest of an enqueue.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple, cast
from zlib import crc32

from raftwork.errors import (
    BadMessage,
    NewerMessage,
    PayloadTooLarge,
    ProtocolError,
    Unsupported,
)
from raftwork.messages import (
    PRIORITY_MAX,
    PRIORITY_USUAL,
    Extras,
    Spec,
    decode_spec_strictly,
)
from raftwork.wire import array_length, maker, pack, record_check, size_of_head, unpack_frame

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.features.cluster_settings import ClusterSettings

#: id, CRC over all its contents, payload, key, extras.
Row = tuple[str, int, bytes, str, Extras | None]
#: The level from which on a task may be other than an ordinary one.
LEVEL_OPTIONS = 2
#: Limits, or kinds of exceptions, that a Spec may name.
NAMES_MAX = 32
TAGS_MAX = 8
TAG_LENGTH_MAX = 128
#: The year 2286: later than any task is meant for, and far from the end of numbers.
AT_MAX_MS = 10**13
NO_EXTRAS = Extras()
#: How the payload of a call begins: an array of two; of three if it says more than its arguments.
_ARGUMENTS, _WITH_BESIDES = b"\x92", b"\x93"
#: How that begins if it is headers and nothing else: a dict of one entry, and the entry's key.
_HEADERS = b"\x81\xa7headers"
read_extras = cast("Callable[[object], Extras]", record_check(Extras, strict=True))

_LEVEL_TWO_FIELDS = Spec._fields.index("delay")
_LEVEL_TWO = tuple(Spec._field_defaults[name] for name in Spec._fields[_LEVEL_TWO_FIELDS:])
#: The last of them are about what a worker and its leader do with a failure.
_ORDINARY_END = Spec._fields.index("backoff_kind")
_ORDINARY = _LEVEL_TWO[: _ORDINARY_END - _LEVEL_TWO_FIELDS]


#: What may stand for a task's extras: they are those of the task before it in the batch.
AS_BEFORE = 0


class Task(NamedTuple):
    """One task of a batch, its arguments packed. For its extras AS_BEFORE may stand."""

    id: str
    payload: bytes
    key: str = ""  # the balancer consistent_hash sends equal ones to the same worker
    extras: Extras = Extras()


def check_level(ledger: "Ledger", what: str) -> None:
    """Raise Unsupported in a cluster below LEVEL_OPTIONS; `what` is such as "limits need"."""
    if ledger.level < LEVEL_OPTIONS:
        raise Unsupported(
            f"{what} a cluster at level {LEVEL_OPTIONS}, this one is at level {ledger.level}:"
            " upgrade every broker, then run `raftwork upgrade finish`"
        )


def read_spec(data: bytes, settings: "ClusterSettings") -> Spec:
    """A batch's Spec. Raises ProtocolError, PayloadTooLarge or BadMessage."""
    return _read_spec(data, settings.spec_bytes, settings.name_length)


def is_ordinary(spec: Spec) -> bool:
    """Whether tasks of this Spec, without extras, are as every task was at level 1."""
    return spec[_LEVEL_TWO_FIELDS:_ORDINARY_END] == _ORDINARY


def spec_of_level_two(spec: Spec) -> bool:
    """Whether it says what a release of level 1 does not know."""
    return spec[_LEVEL_TWO_FIELDS:] != _LEVEL_TWO


# A few hundred kinds of task make up a cluster's traffic, and each is read twice on the leader.
@lru_cache(maxsize=1024)
def _read_spec(data: bytes, bytes_max: int, name_max: int) -> Spec:
    if len(data) > bytes_max:
        raise PayloadTooLarge(f"a spec of {len(data)} bytes; {bytes_max} are allowed")
    spec = decode_spec_strictly(data)
    for what, name in (("a task's name", spec.name), ("a queue's name", spec.queue)):
        if not 0 < len(name) <= name_max:
            raise ProtocolError(f"{what} must have 1 to {name_max} characters, got {len(name)}")
    for what in ("delay", "expires", "deadline", "period", "debounce", "max_wait"):
        if (duration := getattr(spec, what)) > AT_MAX_MS:
            raise ProtocolError(f"{what} must be at most {AT_MAX_MS} ms, got {duration}")
    if spec.priority > PRIORITY_MAX:
        least, most = -PRIORITY_USUAL, PRIORITY_MAX - PRIORITY_USUAL
        raise ProtocolError(
            f"a priority must be between {least} and {most}, got {spec.priority - PRIORITY_USUAL}"
        )
    for what, bound in (("expires", spec.expires), ("deadline", spec.deadline)):
        if bound and bound <= spec.delay:
            raise ProtocolError(
                f"{what} must be longer than delay, got {bound} and {spec.delay} ms: the task could"
                " never begin"
            )
    for what, names in (
        ("limits", spec.limits),
        ("retry_on", spec.retry_on),
        ("no_retry_on", spec.no_retry_on),
    ):
        longest = max(map(len, names), default=1)
        if len(names) > NAMES_MAX or longest > name_max or not all(names):
            raise ProtocolError(
                f"{what} must be at most {NAMES_MAX} names of 1 to {name_max} characters, got"
                f" {len(names)} of up to {longest}"
            )
    return spec


def count_batch(tasks: bytes) -> int:
    """How many tasks a packed batch has; 0 if it cannot be read."""
    try:
        return array_length(tasks)
    except BadMessage:
        return 0


def check_order(spec: Spec, tasks: "Columns") -> None:
    """Raise ProtocolError for tasks that are to run in the order of a key and have none."""
    if spec.ordered and (not tasks.keys or not all(tasks.keys)) and tasks.ids:
        raise ProtocolError("an ordered task needs a key, of 1 character at least; it has none")


class Columns(NamedTuple):
    """A batch's tasks. `keys`, and `extras`, are empty if no task has any."""

    ids: Sequence[str] = ()
    payloads: Sequence[bytes] = ()
    keys: Sequence[str] = ()
    extras: Sequence[Extras] = ()


_columns = maker(Columns)


def read_tasks(data: bytes, settings: "ClusterSettings") -> Columns:
    """A batch's tasks. Raises ProtocolError, PayloadTooLarge or BadMessage.

    It checks whole columns: a check per task would cost more than the rest of an enqueue.
    """
    if len(data) > settings.batch_bytes:
        raise PayloadTooLarge(f"a batch of {len(data)} bytes; {settings.batch_bytes} are allowed")
    rows = unpack_frame(data)
    if type(rows) is not list:
        raise BadMessage("expected an array of tasks")
    match rows:
        # The usual batch, without the cost of columns: unless it is wrong, as told below.
        case [[str() as task, bytes() as payload]]:
            if 0 < len(task) <= settings.id_length and len(payload) <= settings.payload_bytes:
                return _columns(((task,), (payload,), (), ()))
    if len(rows) > settings.batch_tasks:
        raise PayloadTooLarge(f"a batch of {len(rows)} tasks; {settings.batch_tasks} are allowed")
    if not rows:
        return Columns()
    if set(map(type, rows)) != {list} or min(map(len, rows)) < 2:
        raise BadMessage("a task must be an array of an id and a payload")
    if (columns := max(map(len, rows))) > len(Task._fields):
        raise NewerMessage(f"a task with {columns} fields instead of {len(Task._fields)}")
    shared = list(zip(*rows, strict=False))  # the columns that all of them have
    ids, payloads = shared[:2]
    if set(map(type, ids)) != {str} or set(map(type, payloads)) != {bytes}:
        raise BadMessage("a task's id must be a string, its payload bytes")
    if not all(ids) or max(map(len, ids)) > settings.id_length:
        raise ProtocolError(f"a task id must have 1 to {settings.id_length} characters")
    if (largest := max(map(len, payloads))) > settings.payload_bytes:
        raise PayloadTooLarge(f"a payload of {largest} bytes; {settings.payload_bytes} are allowed")
    return Columns(
        ids,
        payloads,
        _keys(_column(rows, shared, 2, ""), settings) if columns > 2 else (),
        _extras(_column(rows, shared, 3, None), settings) if columns > 3 else (),
    )


def _column(
    rows: list[list[object]], shared: list[tuple[object, ...]], at: int, default: object
) -> Sequence[object]:
    if at < len(shared):
        return shared[at]
    return [row[at] if len(row) > at else default for row in rows]


def _keys(keys: Sequence[object], settings: "ClusterSettings") -> Sequence[str]:
    """The third column."""
    if set(map(type, keys)) != {str}:
        raise BadMessage("a task's key must be a string")
    named = cast("Sequence[str]", keys)
    if max(map(len, named)) > settings.id_length:
        raise ProtocolError(f"a key must have at most {settings.id_length} characters")
    return named if any(named) else ()


def _extras(column: Sequence[object], settings: "ClusterSettings") -> Sequence[Extras]:
    """The fourth column. Tasks of a batch mostly have the same, which is read once."""
    extras: list[Extras] = []
    last: object = None
    read = NO_EXTRAS
    if _all_as_before(column[1:]):
        column, rest = column[:1], len(column) - 1
    else:
        rest = 0
    for packed in column:
        if packed != last and not (packed == AS_BEFORE and type(packed) is int):
            read, last = NO_EXTRAS if packed is None else read_extras(packed), packed
            check_extras(read, settings)
        extras.append(read)
    extras += [read] * rest
    return extras if any(extras) else ()


def _all_as_before(column: Sequence[object]) -> bool:
    return set(map(type, column)) == {int} and not any(column)


def check_extras(extras: Extras, settings: "ClusterSettings") -> None:
    """Raise ProtocolError for what one task may not have."""
    for what, text in (("a unique key", extras.unique), ("a tenant", extras.tenant)):
        if len(text) > settings.id_length:
            raise ProtocolError(f"{what} must have at most {settings.id_length} characters")
    if extras.at > AT_MAX_MS:
        raise ProtocolError(f"at must be at most {AT_MAX_MS} ms after 1970, got {extras.at}")
    if len(extras.tags) > TAGS_MAX:
        raise ProtocolError(f"a task may have {TAGS_MAX} tags, got {len(extras.tags)}")
    if any(not 0 < len(text) <= TAG_LENGTH_MAX for tag in extras.tags for text in tag):
        raise ProtocolError(f"a tag's key and value must have 1 to {TAG_LENGTH_MAX} characters")
    if len(dict(extras.tags)) < len(extras.tags):
        raise ProtocolError("a task's tags must have distinct keys")


def checksums(spec: bytes, tasks: Columns, level: int) -> list[int]:
    """Of each of the batch's tasks, what tells a repeated id from a used one."""
    start = crc32(spec)
    if not tasks.keys and not tasks.extras:
        return list(map(crc32, _calls(tasks.payloads, level), repeat(start)))
    if not tasks.keys and tasks.extras.count(tasks.extras[0]) == len(tasks.ids):
        packed = _packed(tasks.extras[0])  # an empty key adds nothing
        return [crc32(packed, crc32(call, start)) for call in _calls(tasks.payloads, level)]
    keys, extras = tasks.keys or repeat(""), tasks.extras or repeat(None)
    last, packed = None, b""
    crcs: list[int] = []
    for call, key, each in zip(_calls(tasks.payloads, level), keys, extras):  # noqa: B905
        if each is not last:
            last, packed = each, _packed(each)
        crcs.append(crc32(packed, crc32(key.encode(), crc32(call, start))))
    return crcs


def rows_of(spec: bytes, tasks: Columns, level: int) -> list[Row]:
    """The batch's tasks, with their checksums."""
    keys, extras = tasks.keys or repeat(""), tasks.extras or repeat(None)
    crcs = checksums(spec, tasks, level)
    return list(zip(tasks.ids, crcs, tasks.payloads, keys, extras))  # noqa: B905


def checksum_before(spec: bytes, row: Row) -> int:
    """Of a task that was stored below LEVEL_OPTIONS, when its headers were among its contents."""
    _, _, payload, key, extras = row
    return contents_crc(crc32(spec), payload, key, extras, LEVEL_OPTIONS - 1)


def contents_crc(
    start: int, payload: bytes, key: str, extras: Extras | None, level: int = LEVEL_OPTIONS
) -> int:
    """The checksum of a task's contents; `start` is that of its Spec."""
    call = payload if level < LEVEL_OPTIONS else _call(payload)
    return crc32(_packed(extras), crc32(key.encode(), crc32(call, start)))


def _calls(payloads: Sequence[bytes], level: int) -> Iterable[bytes]:
    return payloads if level < LEVEL_OPTIONS else map(_call, payloads)


def _call(payload: bytes) -> bytes:
    """A payload but for its headers: what is enqueued again has another trace, and is the same.

    Below level 2 replicas of an older release take it as it is.
    """
    if payload[:1] != _WITH_BESIDES:
        return payload
    try:
        end = size_of_head(payload, 2)
        # Not read: every replica does this, and a map whose keys collide can take a minute.
        if payload.startswith(_HEADERS, end) and size_of_head(payload, 3) == len(payload):
            return _ARGUMENTS + payload[1:end]
    except BadMessage:  # its worker will say so
        pass
    return payload


def _packed(extras: Extras | None) -> bytes:
    return b"" if extras is None or extras == NO_EXTRAS else pack(extras)


def payloads_of(rows: Sequence[Row]) -> list[bytes]:
    """Their payloads."""
    return [row[2] for row in rows]
