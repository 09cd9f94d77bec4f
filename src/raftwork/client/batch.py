"""Calls as one request: encoded, with ids, and checked against the limits before any is sent."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from raftwork.client.ids import new_ids
from raftwork.client.options import task_id, task_key
from raftwork.client.uniqueness import key_of
from raftwork.errors import PayloadTooLarge
from raftwork.features.task_batch import AS_BEFORE, NO_EXTRAS
from raftwork.messages import BATCH_BYTES_MAX, BATCH_TASKS_MAX, Extras
from raftwork.serialization import call_packer, pack_call
from raftwork.signatures import Binder
from raftwork.wire import pack


class Batch(NamedTuple):
    """What an Enqueue carries: all of it is stored, or none."""

    ids: tuple[str, ...]
    tasks: bytes


def one_call(
    payload: bytes,
    own_id: str | None,
    key: str = "",
    extras: Extras = NO_EXTRAS,
    *,
    by_arguments: bool = False,
) -> Batch:
    """A batch of one call that is packed; with `by_arguments` its arguments make its unique key.

    Raises ValueError, TypeError for the id.
    """
    made = new_ids(1)[0] if own_id is None else task_id(own_id)
    if by_arguments:
        extras = extras._replace(unique=key_of(payload))
    if extras != NO_EXTRAS:
        return Batch((made,), pack(((made, payload, key, extras),)))
    return Batch((made,), pack(((made, payload, key) if key else (made, payload),)))


def many_calls(
    name: str,
    calls: Sequence[Sequence[object]],
    ids: Sequence[str] | None,
    parameters: Sequence[str],
    keys: Sequence[str] | None = None,
    binder: Binder | None = None,
    extras: Extras = NO_EXTRAS,
    besides: Mapping[str, object] | None = None,
    *,
    by_arguments: bool = False,
) -> Batch:
    """A batch of calls with positional arguments.

    Raises NotSerializable, PayloadTooLarge; ValueError, TypeError for ids and keys, and TypeError
    for the first call that is not a tuple or list, or does not bind.
    """
    if len(calls) > BATCH_TASKS_MAX:
        raise PayloadTooLarge(f"a batch of {len(calls)} tasks, more than {BATCH_TASKS_MAX}")
    made = new_ids(len(calls)) if ids is None else _checked(ids, len(calls))
    _check(calls, binder)
    packer = call_packer()
    payloads = [pack_call(packer, name, call, {}, parameters, besides) for call in calls]
    columns: tuple[Sequence[object], ...] = (made, payloads)
    if keys is not None:
        columns = (*columns, _keys(keys, len(calls)))
    if extras != NO_EXTRAS or by_arguments:
        more: list[object] = [extras, *[AS_BEFORE] * (len(calls) - 1)]
        if by_arguments:
            more = [extras._replace(unique=key_of(payload)) for payload in payloads]
        columns = (made, payloads, *(columns[2:] or ([""] * len(calls),)), more)
    tasks = pack(list(zip(*columns, strict=True)))
    if len(tasks) > BATCH_BYTES_MAX:
        raise PayloadTooLarge(f"a batch of {len(tasks)} bytes, more than {BATCH_BYTES_MAX}")
    return Batch(tuple(made), tasks)


def _check(calls: Sequence[Sequence[object]], binder: Binder | None) -> None:
    at = 0
    try:
        for at, call in enumerate(calls):  # noqa: B007 - `at` is for the error
            if type(call) is not tuple and type(call) is not list:
                raise TypeError(  # noqa: TRY301
                    f"each call must be a tuple of arguments, got {type(call).__name__}"
                )
            if binder is not None:
                binder(*call)
    except TypeError as error:
        raise TypeError(f"calls[{at}]: {error}") from None


def _keys(keys: Sequence[str], count: int) -> list[str]:
    if isinstance(keys, str):
        raise TypeError("keys must be a sequence of keys, not one key")
    checked = [task_key(key) for key in keys]
    if len(checked) != count:
        raise ValueError(f"{len(checked)} keys for {count} tasks")
    return checked


def _checked(ids: Sequence[str], count: int) -> list[str]:
    if isinstance(ids, str):
        raise TypeError("ids must be a sequence of ids, not one id")
    checked = [task_id(each) for each in ids]
    if len(checked) != count:
        raise ValueError(f"{len(checked)} ids for {count} tasks")
    if len(set(checked)) != count:
        raise ValueError("ids must be distinct")
    return checked
