"""Dead tasks grouped by what went wrong: a thousand with the same error are one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from raftwork.client.documents import dead_document
from raftwork.features.dead_letters import DEAD_PAGE_MAX

if TYPE_CHECKING:
    from raftwork.client.app import App
    from raftwork.client.dead_letters import DeadTask

#: The newest dead tasks that are looked at.
LOOKED_AT_MAX: Final = 1_000
_SAMPLES: Final = 20
#: What differs between two errors of a kind: ids, addresses, quoted texts, numbers.
_VARYING: Final = re.compile(
    r"0x[0-9a-f]+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,}|'[^']*'|\"[^\"]*\"|\d+",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Group:
    """Dead tasks of one name with one kind of error, the newest first."""

    name: str
    error: str
    tasks: list[DeadTask] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        """As the API answers it."""
        times = [task.ended for task in self.tasks]
        waiting = [task for task in self.tasks if task.retried_as is None]
        return {
            "name": self.name,
            "error": self.error,
            "count": len(self.tasks),
            "lost": sum(task.status.value == "lost" for task in self.tasks),
            "queues": sorted({task.queue for task in self.tasks}),
            "first": min(times).isoformat(),
            "last": max(times).isoformat(),
            "retried": len(self.tasks) - len(waiting),
            "ids": [task.id for task in waiting],
            "tasks": [dead_document(task) for task in self.tasks[:_SAMPLES]],
        }


def kind_of(error: str) -> str:
    """An error without what differs between two of a kind."""
    first = error.strip().partition("\n")[0]
    return _VARYING.sub("…", first)[:200]


def newest(app: App) -> Sequence[DeadTask]:
    """The newest dead tasks. Raises Unavailable, PermissionDenied."""
    found: list[DeadTask] = []
    before: int | None = None
    while len(found) < LOOKED_AT_MAX:
        page = app.dead().list(DEAD_PAGE_MAX, before=before)
        found += page
        if len(page) < DEAD_PAGE_MAX:
            break
        before = page[-1].number
    return found


def grouped(dead: Sequence[DeadTask]) -> list[Group]:
    """The largest groups first."""
    groups: dict[tuple[str, str], Group] = {}
    for task in dead:
        kind = kind_of(task.error) or ("lost with its worker" if task.losses else "no words")
        groups.setdefault((task.name, kind), Group(task.name, kind)).tasks.append(task)
    return sorted(groups.values(), key=lambda group: (-len(group.tasks), group.name, group.error))
