"""Every address of the API. What is served, and what OpenAPI says of it, is made of this."""

from __future__ import annotations

from functools import partial
from typing import Final

from raftwork.client.options import label, queue_name, task_id
from raftwork.durations import DURATION_MAX_S
from raftwork.messages import NAME_MAX
from raftwork.web.access import Role
from raftwork.web.api import acting, dead, happened, looking, marks, places, running
from raftwork.web.api.endpoint import Endpoint, Field
from raftwork.web.api.task_log import task_log
from raftwork.web.stream.subscription import events_stream, stream


def _name(field: str, text: str) -> str:
    return label(field, text, NAME_MAX)


_LIMIT: Final = Field("limit", "how many at most", int, least=1, most=looking.TASKS_MAX)
_BEFORE: Final = Field("before", "the `before` of the page before", int, least=1)
_AFTER: Final = Field("after", "the `after` of the answer before")
_ID: Final = Field("id", "an id", required=True, check=task_id)
_QUEUE: Final = Field("queue", "the name of a queue", required=True, check=queue_name)
_THE_QUEUE: Final = Field("name", "its name", required=True, check=queue_name)
_THE_WORKER: Final = Field("name", "its name", required=True, check=partial(_name, "name"))
_LIMIT_NAME: Final = Field(
    "limit", "the name of a limit", required=True, check=partial(_name, "limit")
)
_OF_QUEUE: Final = Field("queue", "of this queue alone", check=queue_name)
_SECONDS: Final = Field("seconds", "for how long; without it: until resumed", float, most=1e9)
_CONTENTS: Final = Field(
    "contents", "whether arguments and results are told, too", bool, default=True
)
_GRACE: Final = Field("grace", "seconds that code has to end", float, most=DURATION_MAX_S)
_Q: Final = Field(
    "q", "such as `state:failed name:mail.* queue:bulk tag:customer=7 since:1h error:Timeout`"
)
_OF_DEAD: Final = (
    _OF_QUEUE,
    Field("name", "of such names: a glob, or a part of them"),
    Field("error", "with this in the beginning of their errors"),
)
_OF_EVENTS: Final = (
    Field("kind", "of these kinds, with commas between them: `failed,lost`"),
    Field("queue", "of this queue"),
    Field("name", "of tasks of such a name, a glob"),
    Field("id", "of this task, flow or schedule"),
)
_SOME_DEAD: Final = (
    Field("ids", "ids of tasks", list),
    Field("filter", "instead of ids: those that pass queue, name and error, 200 at a time", bool),
    *(*_OF_DEAD, _BEFORE),
)
_V, _O, _A = Role.VIEWER, Role.OPERATOR, Role.ADMIN

ENDPOINTS: Final = (
    Endpoint("GET", "/me", _V, "Who asks, and what may be done.", looking.me, shared_s=0),
    Endpoint("GET", "/overview", _V, "Is it well, what runs, who leads.", looking.overview),
    Endpoint(
        *("GET", "/history", _V, "The last hour: [time, ended/s, failed/s, queued, running]."),
        *(looking.history, (Field("after", "seconds since 1970", float, most=1e11),)),
    ),
    Endpoint("GET", "/queues", _V, "Every queue.", looking.queues),
    Endpoint("GET", "/scale/{queue}", _V, "Slots a queue could use.", looking.scale, (_QUEUE,)),
    Endpoint("GET", "/queue", _V, "One queue, and its workers.", places.queue, (_THE_QUEUE,)),
    Endpoint("GET", "/workers", _V, "Every worker.", looking.workers),
    Endpoint("GET", "/worker", _V, "One worker, and who is next.", places.worker, (_THE_WORKER,)),
    Endpoint(
        *("GET", "/running", _V, "What runs, the longest first.", running.running),
        (
            *(_LIMIT, _OF_QUEUE),
            Field("worker", "on this worker alone", check=partial(_name, "worker")),
        ),
    ),
    Endpoint(
        *("GET", "/timeline", _V, "What ended in the last minute, and when and where it ran."),
        running.timeline,
    ),
    Endpoint(
        "GET", "/tasks", _V, "Search tasks, newest first.", looking.tasks, (_Q, _LIMIT, _BEFORE)
    ),
    # An id may be `..`, or have slashes: a browser would make another path of it.
    Endpoint("GET", "/task", _V, "One task, and why it waits.", looking.task, (_ID, _CONTENTS)),
    Endpoint("GET", "/log", _V, "What a task logs.", task_log, (_ID, _AFTER), shared_s=0),
    Endpoint(
        *("GET", "/tasks/{id:path}/log", _V, "The same, by its path.", task_log, (_ID, _AFTER)),
        shared_s=0,
    ),
    Endpoint(
        *("GET", "/tasks/{id:path}", _V, "The same, by its path.", looking.task),
        (_ID, _CONTENTS),
    ),
    Endpoint(
        "GET", "/failures", _V, "Dead tasks by kind of error.", looking.failures, shared_s=3.0
    ),
    Endpoint(
        *("GET", "/dead", _V, "Dead tasks, newest first.", dead.dead),
        (*_OF_DEAD, _LIMIT, _BEFORE),
    ),
    Endpoint("GET", "/schedules", _V, "Every schedule.", looking.schedules),
    Endpoint("GET", "/schedule", _V, "One schedule, its next ticks.", looking.schedule, (_ID,)),
    Endpoint("GET", "/flows", _V, "The newest flows.", looking.flows, (_LIMIT, _BEFORE)),
    Endpoint("GET", "/flow", _V, "A flow's tasks.", looking.flow, (_ID,)),
    Endpoint("GET", "/flows/{id:path}", _V, "The same, by its path.", looking.flow, (_ID,)),
    Endpoint("GET", "/limits", _V, "Every limit.", looking.limits),
    Endpoint(
        *("GET", "/marks", _V, "What people marked, newest first.", marks.marks),
        (Field("since", "seconds since 1970", float, most=1e10),),
    ),
    Endpoint(
        *("POST", "/marks", _O, "Mark this moment, such as a deployment.", marks.mark),
        (Field("text", "what to mark it with: 1 to 200 characters", required=True),),
    ),
    Endpoint("GET", "/cluster", _V, "Each broker, and the elections.", looking.cluster),
    Endpoint(
        *("GET", "/events", _V, "What happened, or happens.", happened.events),
        (
            Field("after", "a cursor: behind that event; `now`: what happens from now on"),
            Field("limit", "how many at most", int, least=1, most=happened.EVENTS_MAX),
            *_OF_EVENTS,
        ),
        stream=events_stream,
    ),
    Endpoint(
        *("GET", "/stream", _V, "What happens, as it happens.", stream),
        (
            Field("after", "a cursor: behind that event; else with what happens from now on"),
            *_OF_EVENTS,
            Field("topics", "`events`, `changed`, or both, with a comma; else both"),
        ),
        stream=stream,
    ),
    Endpoint(
        *("POST", "/tasks/cancel", _O, "Cancel tasks.", acting.cancel),
        (
            Field("ids", "ids of tasks", list),
            Field("name", "all of a name"),
            Field("queue", "all of a queue"),
            Field("flow", "all of a flow"),
            _GRACE,
        ),
    ),
    Endpoint(
        *("POST", "/dead/retry", _O, "Run dead tasks once more.", dead.retry, _SOME_DEAD),
        preview=dead.would_retry,
    ),
    Endpoint(
        *("POST", "/dead/purge", _A, "Forget dead tasks.", dead.purge, _SOME_DEAD),
        preview=dead.would_purge,
    ),
    Endpoint(
        "POST", "/queues/pause", _O, "Pause a queue.", acting.pause_queue, (_QUEUE, _SECONDS)
    ),
    Endpoint("POST", "/queues/resume", _O, "Resume a queue.", acting.resume_queue, (_QUEUE,)),
    Endpoint(
        *("POST", "/queues/set", _A, "Change a queue's settings.", acting.set_queue),
        (
            *(_QUEUE, Field("concurrency", "so many of its tasks may run", int)),
            Field("rate", "so many in a time, as 100/m"),
            Field("max_length", "so many may wait", int),
            Field("balancer", "the name of a load balancer"),
            Field("unset", "settings to clear, by name", list),
        ),
    ),
    Endpoint(
        *("POST", "/queues/purge", _A, "Drop all that waits.", acting.purge_queue, (_QUEUE,)),
        preview=acting.would_purge_queue,
    ),
    Endpoint(
        *("POST", "/workers/drain", _A, "Have a worker end.", acting.drain_worker),
        (Field("worker", "its name", required=True, check=partial(_name, "worker")),),
    ),
    Endpoint(
        "POST", "/schedules/pause", _O, "Pause a schedule.", acting.pause_schedule, (_ID,)
    ),
    Endpoint(
        *("POST", "/schedules/resume", _O, "Resume a schedule.", acting.resume_schedule),
        (_ID, Field("catchup", "make up for the pause", bool)),
    ),
    Endpoint(
        "POST", "/schedules/trigger", _O, "Make a task now.", acting.trigger_schedule, (_ID,)
    ),
    Endpoint(
        *("POST", "/schedules/update", _O, "Override parts of a schedule."),
        acting.update_schedule,
        (
            *(_ID, Field("etag", "of the version that was read")),
            Field("cron", "5 or 6 fields, or a nickname"),
            Field("every", "seconds between two ticks", float, most=DURATION_MAX_S),
            Field("tz", "the time zone of cron"),
            Field("overlap", "skip, allow, queue_one, queue_all or cancel_previous"),
            Field("catchup", "one, none or all"),
        ),
    ),
    Endpoint(
        *("POST", "/schedules/reset", _O, "Have a schedule as declared."),
        *(acting.reset_schedule, (_ID,)),
    ),
    Endpoint("POST", "/flows/retry", _O, "Retry a flow.", acting.retry_flow, (_ID,)),
    Endpoint(
        "POST", "/limits/pause", _A, "Pause a limit.", acting.pause_limit, (_LIMIT_NAME, _SECONDS)
    ),
    Endpoint("POST", "/limits/resume", _A, "Resume a limit.", acting.resume_limit, (_LIMIT_NAME,)),
)  # fmt: skip
