"""The four listings: queues, workers, what runs, brokers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.cli.top.listing import Listing, Order, clock, number, text

if TYPE_CHECKING:
    from raftwork.client.overview import Row
    from raftwork.client.run_info import RunInfo
    from raftwork.messages import QueueStatus, WorkerStatus


def _share(value: float) -> str:
    return f"{value:.0%}"


def _weight(value: float) -> str:
    return f"{value:.2f}"


QUEUES: Final[Listing[QueueStatus]] = Listing(
    "Queues",
    (
        text("queue", lambda q: q.name),
        number("queued", lambda q: q.queued, 1),
        number("running", lambda q: q.running, 2),
        text("state", lambda q: "paused" if q.paused_until else "", 3),
        number("failed", lambda q: q.failed, 4),
        number("succeeded", lambda q: q.succeeded, 5),
        number("lost", lambda q: q.lost, 6),
        number("scheduled", lambda q: q.scheduled, 7),
        number("cancelled", lambda q: q.cancelled, 8),
        number("blocked", lambda q: q.blocked, 9),
    ),
    lambda q: q.name,
    Order(1, descending=True),
)

WORKERS: Final[Listing[WorkerStatus]] = Listing(
    "Workers",
    (
        text("worker", lambda w: w.name),
        number("running", lambda w: w.running, 1),
        number("slots", lambda w: w.slots, 2),
        text("state", lambda w: w.state, 3),
        number("cpu", lambda w: w.cpu, 5, _share),
        number("memory", lambda w: w.memory, 6, _share),
        number("weight", lambda w: w.weight, 7, _weight),
        text("why", lambda w: w.reason, 4),  # it gets less than it could take
        text("queues", lambda w: ", ".join(w.queues), 8),
        text("host", lambda w: w.host, 9),
        number("pid", lambda w: w.pid, 10, "{:.0f}".format),
    ),
    lambda w: (w.name, w.host, w.pid),
    Order(1, descending=True),
)


def elapsed_s(task: RunInfo) -> float | None:
    """For how long its code has run, when that was asked; None if it has not begun."""
    run = task.attempts[-1].run if task.attempts else None
    return None if run is None else run.total_seconds()


def progress(task: RunInfo) -> str:
    """How far it is by its own word; nothing if it has not said so."""
    said = task.progress
    return "" if said is None else f"{said.fraction:4.0%} {said.text}".rstrip()


RUNNING: Final[Listing[RunInfo]] = Listing(
    "Running",
    (
        text("task", lambda t: t.name),
        number("elapsed", elapsed_s, 1, clock),
        text("worker", lambda t: t.attempts[-1].worker if t.attempts else None, 2),
        text("progress", progress, 4),
        text("id", lambda t: t.id, 3),
        number("attempt", lambda t: t.hand_outs, 5),
        text("queue", lambda t: t.queue, 6),
        text("why", lambda t: "; ".join(reason.text for reason in t.waits), 7),  # asked to end
    ),
    lambda t: t.id,
    Order(1, descending=True),
)


BROKERS: Final[Listing[Row]] = Listing(
    "Brokers",
    (
        text("broker", lambda b: b.name),
        text("role", lambda b: b.status.role if b.status else "unreachable", 1),
        number("applied", lambda b: b.status.applied if b.status else None, 2),
        text("why", lambda b: b.reason, 3),  # others do not reach it, or it was not asked
        number("committed", lambda b: b.status.committed if b.status else None, 4),
        number("epoch", lambda b: b.status.epoch if b.status else None, 5),
        text("address", lambda b: b.address, 6),
    ),
    lambda b: (b.name, b.address),
    Order(0, descending=False),
)
