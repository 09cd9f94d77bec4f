"""What is answered to who changes something. Each is one request to the leader, or says which part
of several was done."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from raftwork.client.cancelling import GRACE_S
from raftwork.web.api.looking import schedule_row

if TYPE_CHECKING:
    from raftwork.client.schedule_options import ScheduleFields
    from raftwork.web.api.endpoint import Asked
    from raftwork.web.api.sight import Sight

_SAMPLE: Final = 10
_SCOPES: Final = ("ids", "name", "queue", "flow")


def cancel(sight: Sight, asked: Asked) -> object:
    """End tasks: those of these ids, of a name, a queue, or a flow."""
    given = [scope for scope in _SCOPES if asked.texts(scope) or asked.text(scope)]
    if len(given) != 1:
        raise ValueError(f"give exactly one of {', '.join(_SCOPES)}, got {len(given)}")
    grace = asked.number("grace")
    done = sight.app.cancel(
        ids=asked.texts("ids") or None,
        name=asked.text("name") or None,
        queue=asked.text("queue") or None,
        flow=asked.text("flow") or None,
        grace=GRACE_S if grace is None else grace,
    )
    return {"cancelled": done}


def pause_queue(sight: Sight, asked: Asked) -> object:
    """Hand out nothing of a queue, for so long or until it is resumed."""
    sight.app.queue(asked.text("queue")).pause(_until(asked))
    return {"paused": asked.text("queue")}


def resume_queue(sight: Sight, asked: Asked) -> object:
    """Hand out its tasks again."""
    sight.app.queue(asked.text("queue")).resume()
    return {"resumed": asked.text("queue")}


def set_queue(sight: Sight, asked: Asked) -> object:
    """Change what is given of a queue's settings, and clear what `unset` names."""
    changes: dict[str, Any] = {
        "concurrency": asked.whole("concurrency"),
        "max_length": asked.whole("max_length"),
        "rate": asked.text("rate") or None,
        "balancer": asked.text("balancer") or None,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    for name in asked.texts("unset"):
        if name not in changes or name in given:
            free = ", ".join(changes.keys() - given.keys())
            raise ValueError(f"unset: {name!r:.80} is none of {free}")
        given[name] = None
    if not given:
        raise ValueError(f"give at least one of {', '.join(changes)}, unset")
    queue = sight.app.queue(asked.text("queue"))
    queue.set(**given)
    return asdict(queue.settings())


def purge_queue(sight: Sight, asked: Asked) -> object:
    """Drop all that waits in a queue; with `preview` say what that would be."""
    return {"purged": sight.app.queue(asked.text("queue")).purge()}


def would_purge_queue(sight: Sight, asked: Asked) -> object:
    """How many wait in a queue, and the newest of them."""
    name = asked.text("queue")
    found = sight.app.runs(queue=name, state="queued", limit=_SAMPLE)
    queue = next((q for q in sight.seen.overview.queues if q.name == name), None)
    return {
        "would_purge": 0 if queue is None else queue.queued,
        "sample": [{"id": info.id, "name": info.name} for info in found],
    }


def drain_worker(sight: Sight, asked: Asked) -> object:
    """Have a worker finish what runs, take nothing new and end."""
    sight.app.drain(asked.text("worker"))
    return {"draining": asked.text("worker")}


def pause_schedule(sight: Sight, asked: Asked) -> object:
    """Its ticks make no tasks any more."""
    sight.app.schedules.pause(asked.text("id"))
    return {"paused": asked.text("id")}


def resume_schedule(sight: Sight, asked: Asked) -> object:
    """Its ticks make tasks again."""
    sight.app.schedules.resume(asked.text("id"), catchup=asked.flag("catchup"))
    return {"resumed": asked.text("id")}


def trigger_schedule(sight: Sight, asked: Asked) -> object:
    """Make a task of it now."""
    run = sight.app.schedules.trigger(asked.text("id"))
    return {"id": None if run is None else run.id}


def update_schedule(sight: Sight, asked: Asked) -> object:
    """Override what is given; refused if it was changed since the version `etag`."""
    words = ("cron", "tz", "overlap", "catchup")
    given: dict[str, object] = {name: asked.text(name) for name in words if asked.text(name)}
    every = asked.number("every")
    if every is not None:
        given["every"] = every
    if not given:
        raise ValueError("give at least one of cron, every, tz, overlap, catchup")
    etag, fields = asked.text("etag") or None, cast("ScheduleFields", given)
    return schedule_row(sight.app.schedules.update(asked.text("id"), etag=etag, **fields), asked)


def reset_schedule(sight: Sight, asked: Asked) -> object:
    """Drop what operators override: it is as its code declares it."""
    return schedule_row(sight.app.schedules.reset(asked.text("id")), asked)


def retry_flow(sight: Sight, asked: Asked) -> object:
    """Run what has no value in a flow once more, as a new flow."""
    return {"id": sight.app.flow(asked.text("id")).retry().id}


def pause_limit(sight: Sight, asked: Asked) -> object:
    """Hand out none of a limit's tasks, for so long or until it is resumed."""
    sight.app.limits.pause(asked.text("limit"), _until(asked))
    return {"paused": asked.text("limit")}


def resume_limit(sight: Sight, asked: Asked) -> object:
    """End a limit's pause."""
    sight.app.limits.resume(asked.text("limit"))
    return {"resumed": asked.text("limit")}


def _until(asked: Asked) -> datetime | None:
    seconds = asked.number("seconds")
    return None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
