"""Dead tasks: those of a filter, run again or forgotten, some at a time.

Each answer looks at so many of them, newest first, and says where the next one goes on: so that
however many there are, a page shows how far it is, and can stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.client.documents import dead_document
from raftwork.errors import ProtocolError, RaftworkError, UnknownTask
from raftwork.features.dead_letters import DEAD_PAGE_MAX
from raftwork.web.api.endpoint import Acted

if TYPE_CHECKING:
    from raftwork.client.app import App
    from raftwork.client.dead_letters import DeadTask
    from raftwork.web.api.endpoint import Asked
    from raftwork.web.api.sight import Sight

#: Looked at for one answer, and by an action each time.
LOOKED_AT_MAX: Final = 1_000
_AT_A_TIME: Final = DEAD_PAGE_MAX
_SAMPLE: Final = 10


class Filter(NamedTuple):
    """Which dead tasks; what is empty is any."""

    queue: str
    name: str  # a glob, or a part
    error: str  # a part, in whatever case
    ids: frozenset[str] = frozenset()

    @classmethod
    def of(cls, asked: Asked) -> Filter:
        """As somebody asks for."""
        ids = frozenset(asked.texts("ids"))
        return cls(asked.text("queue"), asked.text("name"), asked.text("error"), ids)

    def passes(self, task: DeadTask) -> bool:
        """Whether it is meant, by all but its queue."""
        name, pattern = task.name, self.name
        named = fnmatchcase(name, pattern) if any(c in pattern for c in "*?[") else pattern in name
        if self.ids and task.id not in self.ids:
            return False
        return named and self.error.casefold() in task.error.casefold()


class Found(NamedTuple):
    """Those that pass; `before` is where to go on, None if that was all."""

    tasks: Sequence[DeadTask]
    before: int | None
    looked_at: int


def find(app: App, wanted: Filter, limit: int, before: int | None, most: int) -> Found:
    """Up to `limit` of the newest, out of `most` that are looked at."""
    found: list[DeadTask] = []
    looked_at = 0
    while looked_at < most:
        page = app.dead(wanted.queue or None).list(DEAD_PAGE_MAX, before=before)
        for task in page:
            looked_at, before = looked_at + 1, task.number
            if wanted.passes(task):
                found.append(task)
            if len(found) == limit or looked_at == most:
                return Found(found, before, looked_at)
        if len(page) < DEAD_PAGE_MAX:
            return Found(found, None, looked_at)
    return Found(found, before, looked_at)


def dead(sight: Sight, asked: Asked) -> object:
    """Dead tasks, newest first."""
    limit = asked.whole("limit") or 50
    found = find(sight.app, Filter.of(asked), limit, asked.whole("before"), LOOKED_AT_MAX)
    return {
        "tasks": [dead_document(each) for each in found.tasks],
        "before": found.before,
        "looked_at": found.looked_at,
    }


def retry(sight: Sight, asked: Asked) -> object:
    """Run dead tasks once more: these, or with `filter` the next of those that pass it.

    One that was retried before is not made again. `refused` says of those that could not be why:
    one is no longer kept, or is a flow's. Where it had to stop half-way `stopped` says why, and
    `left` which may not have been retried: ask for these again.
    """
    if not _by_filter(asked):
        return _retry(sight.app, asked.texts("ids")).acted()
    found = _next(sight.app, asked)
    waiting = [task for task in found.tasks if task.retried_as is None]
    done = _retry(sight.app, [task.id for task in waiting])
    before = found.before
    if done.left:  # the next request begins with the first of them
        before = waiting[-len(done.left)].number + 1
    return done.acted(before=before)


def would_retry(sight: Sight, asked: Asked) -> object:
    """Which tasks `retry` would run again."""
    return _preview(sight.app, asked, again=True)


def purge(sight: Sight, asked: Asked) -> object:
    """Forget dead tasks: these, or with `filter` the next of those that pass it."""
    if not _by_filter(asked):
        return {"purged": sight.app.dead().purge(*asked.texts("ids"))}
    found = _next(sight.app, asked)
    ids = [task.id for task in found.tasks]
    purged = sight.app.dead().purge(*ids) if ids else 0  # without ids it would be all
    return {"purged": purged, "before": found.before}


def would_purge(sight: Sight, asked: Asked) -> object:
    """Which tasks `purge` would forget."""
    return _preview(sight.app, asked, again=False)


def _by_filter(asked: Asked) -> bool:
    """Raises ValueError unless it is either ids or a filter."""
    if bool(asked.texts("ids")) == asked.flag("filter"):
        raise ValueError("give either ids, or filter with queue, name and error (empty: any)")
    return asked.flag("filter")


class _Retried(NamedTuple):
    made: dict[str, str]
    refused: dict[str, str]
    left: Sequence[str]
    stopped: str | None

    def acted(self, **more: object) -> Acted:
        told: dict[str, object] = {"retried": self.made, "refused": self.refused}
        told |= {"left": self.left, "stopped": self.stopped, **more}
        if not self.refused and self.stopped is None:
            return Acted(told)
        counts = f"{len(self.made)} retried, {len(self.refused)} refused, {len(self.left)} left"
        return Acted(told, counts if self.stopped is None else f"{counts}: {self.stopped}")


def _retry(app: App, ids: Sequence[str]) -> _Retried:
    """Raises RaftworkError, TimeoutError as long as none was made."""
    made: dict[str, str] = {}
    refused: dict[str, str] = {}
    for at, id_ in enumerate(ids):
        try:
            (run,) = app.dead().retry(id_)
        except (UnknownTask, ProtocolError) as error:
            refused[id_] = str(error)
        except (RaftworkError, TimeoutError) as error:
            if not made:
                raise
            # Those before it are enqueued: the error alone would say that nothing was done.
            return _Retried(made, refused, ids[at:], f"{type(error).__name__}: {error}")
        else:
            made[id_] = run.id
    return _Retried(made, refused, (), None)


def _next(app: App, asked: Asked) -> Found:
    return find(app, Filter.of(asked), _AT_A_TIME, asked.whole("before"), LOOKED_AT_MAX)


def _preview(app: App, asked: Asked, *, again: bool) -> object:
    """Of the newest LOOKED_AT_MAX alone; `more` says that those behind them were not looked at."""
    _by_filter(asked)
    found = find(app, Filter.of(asked), LOOKED_AT_MAX, None, LOOKED_AT_MAX)
    tasks = [task for task in found.tasks if not again or task.retried_as is None]
    return {
        "would": len(tasks),
        "more": found.before is not None,
        "sample": [{"id": task.id, "name": task.name} for task in tasks[:_SAMPLE]],
    }
