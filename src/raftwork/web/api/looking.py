"""What is answered to who only looks. Each returns a document in JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

from raftwork.client.documents import (
    dead_report_document,
    limit_document,
    said_at,
    schedule_document,
)
from raftwork.client.may_stop import objection
from raftwork.client.overview import instant_of, queue_document
from raftwork.client.run_info import Report, SearchFields
from raftwork.client.status import Status
from raftwork.client.task_documents import summary_document, task_document
from raftwork.doctor import cluster as doctor
from raftwork.doctor.finding import Severity
from raftwork.errors import CannotDecrypt, UnknownTask
from raftwork.features.show_flow import PAGE_MAX, FlowPage, ShowFlow
from raftwork.messages import QueueStatus
from raftwork.messages.facts import LATENCY_BOUNDS_US
from raftwork.web.api.failures import LOOKED_AT_MAX, grouped, newest
from raftwork.web.api.search import BUDGET_S, fields_of
from raftwork.web.health import FREE_BYTES_MIN

if TYPE_CHECKING:
    from raftwork.client.run_info import RunInfo, SearchFields
    from raftwork.messages import BrokerStatus, WorkerStatus
    from raftwork.web.api.endpoint import Asked
    from raftwork.web.api.sight import Sight

#: Nodes of a flow that are shown, and tasks of one page.
NODES_MAX: Final = PAGE_MAX
TASKS_MAX: Final = 200
_COUNTS: Final = ("queued", "running", "scheduled", "blocked", "succeeded", "failed", "lost")


def overview(sight: Sight, _asked: Asked) -> object:
    """Is it well, what runs, who leads and since when."""
    seen, judged = sight.seen, sight.seen.overview
    with sight.watch.lock:
        ended, failed = sight.watch.samples.now()
    active = [w for w in judged.workers if w.state == "active"]
    return {
        "as_of": stamp(seen.at),
        "leader": judged.leader,
        "epoch": judged.epoch,
        "consensus": judged.consensus,
        "since": leads_since(sight),
        "stale": judged.stale,
        "alarms": alarms(sight),
        "totals": {
            **{name: sum(getattr(q, name) for q in judged.queues) for name in _COUNTS},
            "cancelled": sum(q.cancelled for q in judged.queues),
            "slots": sum(w.slots for w in active),
            "busy": sum(w.running for w in active),
            "workers": len(active),
        },
        "rates": {"ended": ended, "failed": failed},
        "brokers": [_broker(name, s) for name, s in seen.statuses.items()],
    }


def alarms(sight: Sight) -> list[dict[str, str]]:
    """What is wrong, in words, the worst first."""
    seen = sight.seen
    if not seen.statuses:
        text = seen.failure or seen.overview.headless()
        return [{"id": "brokers", "severity": "error", "text": text, "remedy": ""}]
    found = [
        {"id": each.id, "severity": each.severity.value, "text": each.text, "remedy": each.remedy}
        for each in doctor.look(seen.statuses)
        if each.severity is not Severity.OK
    ]
    if seen.overview.leader is not None:
        found += [
            {
                "id": "unserved",
                "severity": "warning",
                "text": f"no worker serves the queue {q.name} (queued: {q.queued})",
                "remedy": f"raftwork worker MODULE:APP --queues {q.name}",
            }
            for q in islice(seen.overview.queues, 1_000)
            if q.queued and not seen.overview.serves(q.name)
        ]
    free = seen.free_bytes
    if free is not None and free < FREE_BYTES_MIN:
        text = f"{free >> 20} MiB are free on this machine's disk, {FREE_BYTES_MIN >> 20} must be"
        found.append({"id": "disk", "severity": "error", "text": text, "remedy": "make room"})
    return sorted(found, key=lambda each: each["severity"] != Severity.ERROR.value)


def history(sight: Sight, asked: Asked) -> object:
    """Points of the last hour after a time."""
    after = asked.number("after") or 0.0
    with sight.watch.lock:
        points = [point for point in sight.watch.samples.points if point.at > after]
    return {"points": [list(point) for point in points]}


def queues(sight: Sight, _asked: Asked) -> object:
    """Every queue that has tasks, settings or workers."""
    judged = sight.seen.overview
    known = {queue.name: queue for queue in judged.queues}
    return {
        "as_of": stamp(sight.seen.at),
        "stale": judged.stale,
        "queues": [
            queue_row(sight, known.get(name) or QueueStatus(name, 0, 0, 0, 0, 0))
            for name in judged.queue_names()
        ],
    }


def scale(sight: Sight, asked: Asked) -> object:
    """For autoscalers: what waits to run now, or runs."""
    name = asked.text("queue")
    queue = next((q for q in sight.seen.overview.queues if q.name == name), None)
    wanted = 0 if queue is None else queue.ready + queue.running
    serving = [w for w in sight.seen.overview.workers if name in w.queues and w.state == "active"]
    slots = sum(w.slots for w in serving)
    return {"queue": name, "slots_wanted": wanted, "slots": slots, "workers": len(serving)}


def workers(sight: Sight, _asked: Asked) -> object:
    """Every worker that the leader knows."""
    judged = sight.seen.overview
    return {
        "as_of": stamp(sight.seen.at),
        "leader": judged.leader,
        "workers": [worker_row(worker) for worker in judged.workers],
    }


def tasks(sight: Sight, asked: Asked) -> object:
    """The newest tasks that pass a search."""
    try:
        wanted = fields_of(asked.text("q"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"q: {error}") from None
    wanted |= _page(asked)
    found = sight.app.runs(**wanted)
    return {
        "as_of": stamp(sight.seen.at),
        "tasks": [summary_document(task) for task in found],
        "before": found.before,
        "scanned": found.scanned,
    }


def _page(asked: Asked) -> SearchFields:
    return {"limit": asked.whole("limit") or 50, "before": asked.whole("before")}


def task(sight: Sight, asked: Asked) -> object:
    """Everything about one task, and why it waits."""
    run = sight.app.run(asked.text("id"))
    sealed = False
    report: Report | None = None
    if asked.payloads and asked.flag("contents"):
        try:
            report = run.report()
        except CannotDecrypt:
            sealed = True
    info = report.info if report is not None else run.info()
    document = task_document(info) | {"contents": _contents(report, sealed=sealed)}
    return document | _ended(sight, info, asked)


def _contents(report: Report | None, *, sealed: bool) -> dict[str, object] | None:
    if report is None:
        return {"sealed": True} if sealed else None
    return {
        "sealed": False,
        "args": report.args,
        "kwargs": report.kwargs,
        "result": report.value,
        "error": report.error,
        "log": report.log,
        "checkpoint": report.checkpoint,
    }


def _ended(sight: Sight, info: RunInfo, asked: Asked) -> dict[str, object]:
    """What is kept of a task that ended without a value."""
    if info.status not in (Status.FAILED, Status.LOST):
        return {"dead": None}
    try:
        report = sight.app.dead().show(info.id)
    except (UnknownTask, CannotDecrypt):
        return {"dead": None}
    document = dead_report_document(report)
    if not asked.payloads:
        for name in ("args", "kwargs", "log"):
            del document[name]
    return {"dead": document}


def failures(sight: Sight, _asked: Asked) -> object:
    """The newest dead tasks, grouped by name and kind of error."""
    dead = newest(sight.app)
    return {
        "looked_at": len(dead),
        "more": len(dead) >= LOOKED_AT_MAX,
        "groups": [group.document() for group in grouped(dead)],
    }


def schedules(sight: Sight, asked: Asked) -> object:
    """Every schedule, with its next tick and what became of those before."""
    found = [schedule_document(each) for each in sight.app.schedules.list()]
    if not asked.payloads:
        for each in found:
            del each["args"], each["kwargs"]
    return {"schedules": found}


def schedule(sight: Sight, asked: Asked) -> object:
    """One schedule, and its next ticks."""
    id_ = asked.text("id")
    document = schedule_document(sight.app.schedules.get(id_))
    if not asked.payloads:
        del document["args"], document["kwargs"]
    coming = sight.app.schedules.next(id_, 5)
    return document | {"coming": [said_at(tick) for tick in coming]}


def flows(sight: Sight, asked: Asked) -> object:
    """The newest flows."""
    wanted: SearchFields = {"name": "flow", "budget": BUDGET_S}
    found = sight.app.runs(**(wanted | _page(asked)))
    shown = [_flow_row(info) for info in found if not info.queue]
    return {"flows": shown, "before": found.before, "scanned": found.scanned}


def _flow_row(info: RunInfo) -> dict[str, object]:
    document = summary_document(info)
    shown = {name: document[name] for name in ("id", "enqueued", "ended", "number")}
    return shown | {"status": _of_flow(info.status).value}


def flow(sight: Sight, asked: Asked) -> object:
    """A flow's first tasks, and what each of them waits for, or waited."""
    id_ = asked.text("id")
    page = sight.app.call(ShowFlow(0, id_, 0, NODES_MAX), FlowPage).result()
    return {
        "id": id_,
        "status": _of_flow(Status(page.state.name.lower())).value,
        "failed": page.failed,
        "more": page.after > 0,
        "nodes": [
            {
                "id": node.id,
                "name": None if node.name == "join" else node.name or None,
                "status": node.state.name.lower(),
                "needs": node.needs,
            }
            for node in page.nodes
        ],
    }


def _of_flow(status: Status) -> Status:
    """A flow's own row waits for the others, from its beginning to its end."""
    return Status.RUNNING if status in (Status.BLOCKED, Status.QUEUED) else status


def limits(sight: Sight, _asked: Asked) -> object:
    """Every limit, and how far it is used."""
    return {"limits": [limit_document(each) for each in sight.app.limits.list()]}


def cluster(sight: Sight, _asked: Asked) -> object:
    """Each broker: what it is, how far, and which leaders it has seen."""
    seen, judged = sight.seen, sight.seen.overview
    reasons = {row.name: row.reason for row in judged.brokers}
    return {
        "as_of": stamp(seen.at),
        "leader": judged.leader,
        "epoch": judged.epoch,
        "consensus": judged.consensus,
        "since": leads_since(sight),
        "alarms": alarms(sight),
        "safe_to_stop": {name: objection(name, seen.statuses) for name in seen.statuses},
        "brokers": [
            _broker(name, status) | {"reason": reasons.get(name) or None}
            for name, status in seen.statuses.items()
        ],
    }


def me(sight: Sight, asked: Asked) -> object:
    """Who asks, and what this dashboard can do."""
    return {
        "name": asked.visitor.name,
        "role": asked.visitor.role.word,
        "payloads": asked.payloads,
        "leader_can_be_asked": sight.own_app is not None,
        "log_link": sight.log_link or None,
    }


# ---- parts --------------------------------------------------------------------------------------


def queue_row(sight: Sight, queue: QueueStatus) -> dict[str, object]:
    """A queue as the API answers it."""
    serving = [
        w for w in sight.seen.overview.workers if queue.name in w.queues and w.state == "active"
    ]
    return (
        {"name": queue.name}
        | queue_document(queue)
        | {
            "workers": len(serving),
            "slots": sum(w.slots for w in serving),
        }
    )


def worker_row(worker: WorkerStatus) -> dict[str, object]:
    """A worker as the API answers it."""
    document: dict[str, object] = worker._asdict()
    return document | {"terms": worker.terms._asdict()}


def _broker(name: str, status: BrokerStatus | None) -> dict[str, object]:
    if status is None:
        return {"name": name, "role": "unreachable", "answers": False, "facts": None}
    facts = status.facts
    return {
        "name": name,
        "answers": True,
        "address": status.address,
        "role": status.role,
        "active": status.active,
        "leader": status.leader or None,
        "epoch": status.epoch,
        "committed": status.committed,
        "applied": status.applied,
        "release": status.release or None,
        "level": status.level,
        "unreached": list(status.unreached),
        "facts": None
        if facts is None
        else {
            "pid": facts.pid,
            "uptime": facts.uptime_ms / 1_000,
            "leader_changes": facts.leader_changes,
            "leaderless": facts.leaderless_ms / 1_000,
            "stalls": facts.stalls,
            "log_entries": facts.log_entries,
            "log_bytes": facts.log_bytes,
            "wal_bytes": facts.wal_bytes,
            "database_bytes": facts.database_bytes,
            "fsync": _quantiles(facts.fsyncs.counts),
            "turn": _quantiles(facts.turns.counts),
            "peers": [{"name": peer.name, "behind": peer.behind} for peer in facts.peers],
            "changes": [
                change._asdict() | {"at": instant_of(change.at)} for change in facts.role_changes
            ],
        },
    }


def _quantiles(counts: list[int]) -> dict[str, float | None]:
    """Seconds, as the upper bound of the bucket; None if there was none, or it was beyond all."""
    found: dict[str, float | None] = {"p50": None, "p99": None}
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        so_far, wanted = 0, part * sum(counts)
        for bound, count in zip(LATENCY_BOUNDS_US, counts, strict=False):
            so_far += count
            if so_far and so_far >= wanted:
                found[name] = bound / 1_000_000
                break
    return found


def leads_since(sight: Sight) -> str | None:
    """When the leader began to serve, by its own clock; None if it does not say."""
    judged = sight.seen.overview
    status = sight.seen.statuses.get(judged.leader or "")
    if status is None or status.facts is None:
        return None
    began = [
        c.at for c in status.facts.role_changes if c.role == "leads" and c.epoch == status.epoch
    ]
    return instant_of(began[-1]) if began else None


def stamp(at: float) -> str | None:
    """Seconds since 1970 as ISO 8601; None for 0."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds") if at else None
