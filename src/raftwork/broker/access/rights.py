"""Which role may send which message, and what the message reaches. Sans-IO.

The table is all there is: a message that is not in it is nobody's. Whoever adds a message adds a
row here, and a test fails until that is done.

A key may be for some queues only. What such a key sends is held against its patterns by what the
message reaches: the queues or the tasks that it names, the whole cluster, or its own session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar, cast

from raftwork.errors import BadMessage
from raftwork.features.audit import AskAudit, NoteAction
from raftwork.features.cancel import CancelTasks, Scope
from raftwork.features.checkpoints import KeepCheckpoint
from raftwork.features.cluster_settings import AskClusterSettings, SetClusterSettings
from raftwork.features.dead_letters import ListDead, PurgeDead, RetryDead, ShowDead
from raftwork.features.drain import DrainWorker
from raftwork.features.ended_attempts import ListEnded
from raftwork.features.enqueue import Enqueue
from raftwork.features.event_feed import ReadEvents
from raftwork.features.flow_again import RetryFlow
from raftwork.features.flow_callbacks import AddCallback
from raftwork.features.flow_graph import queues_of_graph
from raftwork.features.flows import SubmitFlow
from raftwork.features.free_key import FreeKey
from raftwork.features.inspect_tasks import ListTasks, ShowTask
from raftwork.features.lanes import ResumeKey
from raftwork.features.limits import AskLimits, DeleteLimit, PauseLimit, ResumeLimit, SetLimit
from raftwork.features.marks import AskMarks, SetMark
from raftwork.features.pause_queue import DeleteQueue, PauseQueue, ResumeQueue
from raftwork.features.placement import AskPlacement
from raftwork.features.progress import AskProgress, TellProgress
from raftwork.features.purge_queue import PurgeQueue
from raftwork.features.queue_settings import AskQueue, SetQueue
from raftwork.features.reschedule import Reschedule
from raftwork.features.results import Ask, Watch
from raftwork.features.running import ListRunning
from raftwork.features.schedule_plan import decode_fields
from raftwork.features.schedule_records import (
    BackfillSchedule,
    CreateSchedule,
    DeclareSchedules,
    DeleteSchedule,
    ListSchedules,
    NextTicks,
    PauseSchedule,
    PruneSchedules,
    ShowSchedule,
    TriggerSchedule,
    UpdateSchedule,
)
from raftwork.features.show_flow import ShowFlow
from raftwork.features.signals import SaySignal
from raftwork.features.task_log import ReadLog, TellLog
from raftwork.features.transfer import TransferLeadership
from raftwork.features.unique import EnqueueUnique
from raftwork.features.upgrade import FinishUpgrade
from raftwork.keys import Role
from raftwork.messages import (
    ClientHello,
    Goodbye,
    Heartbeat,
    PeerHello,
    Ping,
    Report,
    StatusRequest,
    ToBroker,
    WorkerHello,
    decode_spec,
)

M = TypeVar("M", bound=ToBroker)

_PEER: Final = frozenset({Role.PEER})
_WORKER: Final = frozenset({Role.WORKER})
#: Whoever has a client's session.
_LOOK: Final = frozenset({Role.CLIENT, Role.READER, Role.ADMIN})
#: To look at what is not one's own.
_INSPECT: Final = frozenset({Role.READER, Role.ADMIN})
_ENQUEUE: Final = frozenset({Role.CLIENT, Role.ADMIN})
_ADMIN: Final = frozenset({Role.ADMIN})


class Reach(NamedTuple):
    """What one message is about. Without any of these it is about its sender's session."""

    #: It reaches beyond any one queue.
    cluster: bool = False
    #: Names of queues; one that is empty stands for all of them.
    queues: Sequence[str] = ()
    #: Ids of tasks and flows.
    ids: Sequence[str] = ()
    #: Ids of schedules, which are of the queue that their tasks go into.
    schedules: Sequence[str] = ()


class Right(NamedTuple):
    """A row: who may send the message, and what it reaches."""

    roles: frozenset[Role]
    reach: Callable[[ToBroker], Reach]
    #: Says, as errors have it, what about this one makes it an admin's alone; empty: nothing does.
    admins: Callable[[ToBroker], str] | None = None


def _session(_message: ToBroker) -> Reach:
    return Reach()


def _cluster(_message: ToBroker) -> Reach:
    return Reach(cluster=True)


def _queue(message: ToBroker) -> Reach:
    return Reach(queues=[cast("AskQueue", message).queue or ""])


def _id(message: ToBroker) -> Reach:
    return Reach(ids=[cast("ShowTask", message).id])


def _ids(message: ToBroker) -> Reach:
    return Reach(ids=cast("Watch", message).ids)


def _by(_message: type[M], reach: Callable[[M], Reach]) -> Callable[[ToBroker], Reach]:
    return cast("Callable[[ToBroker], Reach]", reach)


def _enqueue(message: Enqueue | EnqueueUnique) -> Reach:
    return Reach(queues=[decode_spec(message.spec).queue])


def _cancel(asked: CancelTasks) -> Reach:
    if asked.scope is Scope.IDS:
        return Reach(ids=asked.ids)
    if asked.scope is Scope.FLOW:
        return Reach(ids=[asked.name])
    return Reach(queues=[asked.name]) if asked.scope is Scope.QUEUE else Reach(cluster=True)


def _cancels_unnamed(message: ToBroker) -> str:
    """A client ends the tasks that it names. Whole queues are purged by admins alone, too."""
    scope = cast("CancelTasks", message).scope
    if scope in {Scope.IDS, Scope.FLOW}:
        return ""
    return f"by {scope.name.lower()}, rather than by ids or flow"


def _purge_dead(asked: PurgeDead) -> Reach:
    return Reach(ids=asked.ids) if asked.ids else Reach(queues=[asked.queue or ""])


def _callback(asked: AddCallback) -> Reach:
    return Reach(queues=queues_of_graph(asked.graph), ids=[asked.id])


def _schedule(message: ToBroker) -> Reach:
    return Reach(schedules=[cast("ShowSchedule", message).id])


def _said_of_schedule(asked: CreateSchedule | UpdateSchedule) -> Reach:
    return Reach(queues=_queues_said(asked.fields), schedules=[asked.id])


def _declared(asked: DeclareSchedules) -> Reach:
    queues = [queue for each in asked.schedules for queue in _queues_said(each.fields)]
    return Reach(queues=queues, schedules=[each.id for each in asked.schedules])


def _queues_said(fields: bytes) -> list[str]:
    """The queue of a schedule's tasks, if this says which tasks they are."""
    spec = decode_fields(fields).spec
    return [decode_spec(spec).queue] if spec else []


_QUEUES: Final = (
    *(SetQueue, PurgeQueue, PauseQueue, ResumeQueue, DeleteQueue),
    *(ResumeKey, FreeKey),
)
_SCHEDULES: Final = (PauseSchedule, TriggerSchedule, BackfillSchedule, DeleteSchedule)

RIGHTS: Final[Mapping[type[ToBroker], Right]] = {
    PeerHello: Right(_PEER, _session),
    StatusRequest: Right(_LOOK | _PEER, _session),
    Ping: Right(_LOOK | _WORKER, _session),
    WorkerHello: Right(_WORKER, _by(WorkerHello, lambda hello: Reach(queues=hello.queues))),
    **dict.fromkeys((Report, Heartbeat, Goodbye), Right(_WORKER, _session)),
    **dict.fromkeys((KeepCheckpoint, TellProgress, TellLog), Right(_WORKER, _session)),
    ClientHello: Right(_LOOK, _session),
    **dict.fromkeys((Watch, Ask), Right(_LOOK, _ids)),
    **dict.fromkeys((AskProgress, ReadLog, ShowTask), Right(_LOOK, _id)),
    ShowDead: Right(_INSPECT, _id),
    **dict.fromkeys((ListDead, ListTasks, AskQueue), Right(_INSPECT, _queue)),
    AskClusterSettings: Right(_INSPECT, _cluster),
    Enqueue: Right(_ENQUEUE, _by(Enqueue, _enqueue)),
    EnqueueUnique: Right(_ENQUEUE, _by(EnqueueUnique, _enqueue)),
    CancelTasks: Right(_ENQUEUE, _by(CancelTasks, _cancel), _cancels_unnamed),
    Reschedule: Right(_ENQUEUE, _id),
    # A flow is an enqueue of many, and who may make one may go on with it: retry it, add what runs
    # at its end, tell it what it waits for. One flow is seen by whoever knows its id, as one task.
    SubmitFlow: Right(
        _ENQUEUE, _by(SubmitFlow, lambda asked: Reach(queues=queues_of_graph(asked.graph)))
    ),
    AddCallback: Right(_ENQUEUE, _by(AddCallback, _callback)),
    **dict.fromkeys((RetryFlow, SaySignal), Right(_ENQUEUE, _id)),
    ShowFlow: Right(_LOOK, _id),
    # A schedule enqueues again and again what its maker could enqueue: it takes no more than that.
    # A worker that starts has those of its code made, in the queues that it works for.
    DeclareSchedules: Right(_ENQUEUE | _WORKER, _by(DeclareSchedules, _declared)),
    CreateSchedule: Right(_ENQUEUE, _by(CreateSchedule, _said_of_schedule)),
    UpdateSchedule: Right(_ENQUEUE, _by(UpdateSchedule, _said_of_schedule)),
    **dict.fromkeys(_SCHEDULES, Right(_ENQUEUE, _schedule)),
    PruneSchedules: Right(_ENQUEUE, _cluster),
    **dict.fromkeys((ShowSchedule, NextTicks), Right(_LOOK, _schedule)),
    ListSchedules: Right(_INSPECT, _cluster),
    # A limit may be for tasks of any queue.
    **dict.fromkeys((SetLimit, PauseLimit, ResumeLimit, DeleteLimit), Right(_ADMIN, _cluster)),
    AskLimits: Right(_INSPECT, _cluster),
    **dict.fromkeys(_QUEUES, Right(_ADMIN, _queue)),
    RetryDead: Right(_ADMIN, _id),
    PurgeDead: Right(_ADMIN, _by(PurgeDead, _purge_dead)),
    **dict.fromkeys((DrainWorker, SetClusterSettings, FinishUpgrade), Right(_ADMIN, _cluster)),
    **dict.fromkeys((AskAudit, NoteAction, SetMark, TransferLeadership), Right(_ADMIN, _cluster)),
    AskMarks: Right(_INSPECT, _cluster),
    **dict.fromkeys((ReadEvents, ListRunning, ListEnded, AskPlacement), Right(_INSPECT, _queue)),
}


def queues_of(message: ToBroker) -> Sequence[str]:
    """The queues that it names; none if it cannot be read."""
    try:
        return RIGHTS[type(message)].reach(message).queues
    except BadMessage:
        return ()


def may(roles: frozenset[Role], message: type[ToBroker]) -> bool:
    """Whether one of these roles allows it, or some of it. The default is no."""
    right = RIGHTS.get(message)
    return right is not None and not right.roles.isdisjoint(roles)


def makes_it_an_admins(message: ToBroker) -> str:
    """What about this very message, as errors have it; empty if others may send such messages."""
    right = RIGHTS.get(type(message))
    return right.admins(message) if right is not None and right.admins is not None else ""


def admins_alone(message: ToBroker) -> bool:
    """Whether nobody else may send it."""
    right = RIGHTS.get(type(message))
    return right is not None and (right.roles == _ADMIN or bool(makes_it_an_admins(message)))
