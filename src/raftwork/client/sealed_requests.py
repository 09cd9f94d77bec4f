"""What an App with a codec sends and gets: contents are sealed here, and opened here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from raftwork.errors import CannotDecrypt, PayloadTooLarge
from raftwork.features.enqueue import Enqueue
from raftwork.features.flow_callbacks import AddCallback
from raftwork.features.flows import SubmitFlow
from raftwork.features.free_key import FreeKey
from raftwork.features.schedule_plan import decode_fields, encode_fields, pack_extras
from raftwork.features.schedule_records import CreateSchedule, DeclareSchedules, UpdateSchedule
from raftwork.features.signals import SIGNAL_BYTES_MAX, SaySignal
from raftwork.features.task_batch import read_extras
from raftwork.features.unique import EnqueueUnique
from raftwork.messages import BATCH_BYTES_MAX, OnConflict, decode_spec
from raftwork.sealed_flows import check_size, open_value, seal_graph, unguessable
from raftwork.sealing import (
    ARGUMENTS,
    CHECKPOINT,
    REPLACING,
    RESULT,
    SCHEDULED,
    Bound,
    Codec,
    is_sealed,
    marks_of,
)
from raftwork.wire import pack, unpack

if TYPE_CHECKING:
    from raftwork.messages.request import Request

#: An empty list: brokers could make it of nothing.
_NOTHING: Final = pack([])


def sealed(codec: Codec, request: Request) -> Request:
    """The request as it is sent. Raises PayloadTooLarge."""
    made: Request = request
    match request:
        case Enqueue() | EnqueueUnique():
            made = _enqueue(codec, request)
        case SubmitFlow():
            graph = seal_graph(codec, request.graph, marks_of(request.id), request.id)
            made = request._replace(graph=graph)
        case AddCallback():
            made = request._replace(graph=seal_graph(codec, request.graph, marks_of(request.id)))
        case FreeKey():
            made = request._replace(key=unguessable(codec, request.key))
        case SaySignal():
            made = request._replace(value=_signal(codec, request))
        case CreateSchedule() | UpdateSchedule():
            made = request._replace(fields=_fields(codec, request.id, request.fields))
        case DeclareSchedules():
            made = declared(codec, request)
        case _:
            pass
    return made


def _enqueue(codec: Codec, request: Enqueue | EnqueueUnique) -> Enqueue | EnqueueUnique:
    spec = decode_spec(request.spec)
    replaces = spec.on_conflict is OnConflict.REPLACE or spec.debounce > 0
    what = REPLACING if replaces else ARGUMENTS
    rows = cast("list[list[object]]", unpack(request.tasks))
    for row in rows:
        task, payload = cast("str", row[0]), cast("bytes", row[1])
        made = codec.seal(payload, Bound(what, task, spec.name, spec.queue))
        check_size(spec.name, made)
        row[1] = made
        if len(row) > 3:
            extras = cast("list[object]", row[3])
            extras[0] = unguessable(codec, cast("str", extras[0]))
    tasks = pack(rows)
    if len(tasks) > BATCH_BYTES_MAX:
        raise PayloadTooLarge(f"a batch of {len(tasks)} bytes, more than {BATCH_BYTES_MAX}")
    return request._replace(tasks=tasks)


def _signal(codec: Codec, said: SaySignal) -> bytes:
    """As the value of a task of the flow that there is not: none can have a name so."""
    bound = Bound(RESULT, f"{said.id}\n{said.name}", marks=marks_of(said.id))
    made = codec.seal(said.value, bound)
    if len(made) > SIGNAL_BYTES_MAX:
        raise PayloadTooLarge(
            f"the signal's value is {len(made)} bytes once it is encrypted, more than"
            f" {SIGNAL_BYTES_MAX}"
        )
    return made


def declared(codec: Codec, request: DeclareSchedules) -> DeclareSchedules:
    """The same of schedules that a worker declares. Raises PayloadTooLarge."""
    schedules = [
        each._replace(fields=_fields(codec, each.id, each.fields)) for each in request.schedules
    ]
    return request._replace(schedules=schedules)


def _fields(codec: Codec, id_: str, packed: bytes) -> bytes:
    """What is said of a schedule. Its arguments are its own, whatever its task is called."""
    fields = decode_fields(packed)
    if fields.payload:
        made = codec.seal(fields.payload, Bound(SCHEDULED, id_))
        check_size(f"the schedule {id_}", made)
        fields = fields._replace(payload=made)
    if fields.extras:
        extras = read_extras(unpack(fields.extras))
        extras = extras._replace(unique=unguessable(codec, extras.unique))
        fields = fields._replace(extras=pack_extras(extras))
    return encode_fields(fields)


def scheduled(codec: Codec | None, data: bytes, schedule: str) -> bytes:
    """The packed arguments of a schedule. Raises CannotDecrypt."""
    return _opened(codec, data, Bound(SCHEDULED, schedule))


def arguments(codec: Codec | None, data: bytes, task: str, name: str, queue: str) -> bytes:
    """A task's packed arguments. Raises CannotDecrypt."""
    if not queue:
        return data  # a flow's, or a join's: references to others' values
    return _opened(codec, data, Bound(ARGUMENTS, task, name, queue))


def value(codec: Codec | None, data: bytes, task: str, *, flow: bool = False) -> bytes:
    """A packed result of a task, or of a flow. Raises CannotDecrypt.

    It may be made of the results of others, if it is a flow or these have replaced the task.
    """
    if codec is None or (data == _NOTHING and not flow):
        return _opened(codec, data, Bound(RESULT, task))
    return open_value(codec, data, task, marks_of(task))


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
