"""What an App with a codec sends and gets: contents are sealed here, and opened here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from raftwork.errors import CannotDecrypt, PayloadTooLarge
from raftwork.features.enqueue import Enqueue
from raftwork.features.unique import EnqueueUnique
from raftwork.messages import BATCH_BYTES_MAX, PAYLOAD_MAX, decode_spec
from raftwork.sealing import ARGUMENTS, CHECKPOINT, RESULT, Bound, Codec, is_sealed
from raftwork.wire import pack, unpack

if TYPE_CHECKING:
    from raftwork.messages.request import Request

#: Unique keys that are made of arguments begin with it (uniqueness.py).
_BY_ARGUMENTS: Final = "arguments "


def sealed(codec: Codec, request: Request) -> Request:
    """The request as it is sent. Raises PayloadTooLarge."""
    if not isinstance(request, Enqueue | EnqueueUnique):
        return request
    spec = decode_spec(request.spec)
    rows = cast("list[list[object]]", unpack(request.tasks))
    for row in rows:
        task, payload = cast("str", row[0]), cast("bytes", row[1])
        made = codec.seal(payload, Bound(ARGUMENTS, task, spec.name, spec.queue))
        if len(made) > PAYLOAD_MAX:
            raise PayloadTooLarge(
                f"the arguments of {spec.name} are {len(made)} bytes once they are encrypted,"
                f" more than {PAYLOAD_MAX}"
            )
        row[1] = made
        if len(row) > 3:
            extras = cast("list[object]", row[3])
            unique = cast("str", extras[0])
            if unique.startswith(_BY_ARGUMENTS):
                extras[0] = _BY_ARGUMENTS + codec.fingerprint(unique)
    tasks = pack(rows)
    if len(tasks) > BATCH_BYTES_MAX:
        raise PayloadTooLarge(f"a batch of {len(tasks)} bytes, more than {BATCH_BYTES_MAX}")
    return cast("Request", request._replace(tasks=tasks))


def arguments(codec: Codec | None, data: bytes, task: str, name: str, queue: str) -> bytes:
    """A task's packed arguments. Raises CannotDecrypt."""
    return _opened(codec, data, Bound(ARGUMENTS, task, name, queue))


def value(codec: Codec | None, data: bytes, task: str) -> bytes:
    """A task's packed result. Raises CannotDecrypt."""
    return _opened(codec, data, Bound(RESULT, task))


def checkpoint(codec: Codec | None, data: bytes, task: str) -> bytes:
    """A task's packed checkpoint. Raises CannotDecrypt."""
    return _opened(codec, data, Bound(CHECKPOINT, task))


def _opened(codec: Codec | None, data: bytes, bound: Bound) -> bytes:
    if codec is not None:
        return codec.open(data, bound)
    if is_sealed(data):
        raise CannotDecrypt(
            f"the {bound.what} of task {bound.task} are encrypted, and this process has no key"
            " for contents: App(codec=…) or RAFTWORK_SECRETS"
        )
    return data
