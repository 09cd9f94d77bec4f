"""What people type to find tasks: `state:failed name:mail.* queue:bulk tag:customer=7 since:1h`.

Brokers look at their tasks newest first and have an index for tags and for what runs alone. So a
search has a budget, and says how many tasks it looked at and where it would go on.
"""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from raftwork.client.run_info import Filter, RunInfo, summary
from raftwork.features.inspect_tasks import PAGE_MAX, ListTasks, TaskPage
from raftwork.wire import INT_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.client.app import App

#: What one search may take: rows that brokers look at, and s.
ROWS_MAX: Final = 100_000
TIME_MAX_S: Final = 2.0
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_AGE: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)")
TERMS: Final = ("state", "name", "queue", "tag", "since", "error", "worker")


@dataclass(frozen=True, slots=True)
class Search:
    """What was typed, read."""

    filter: Filter = field(default_factory=Filter)
    error: str = ""
    worker: str = ""

    @classmethod
    def of(cls, text: str) -> Search:
        """Read it. Raises ValueError, which names the term."""
        said: dict[str, str] = {}
        for word in _words(text):
            term, colon, value = word.partition(":")
            if not colon:
                term, value = "name", f"*{word}*"
            if term not in TERMS:
                raise ValueError(f"there is no term {term!r:.80}: the terms are {', '.join(TERMS)}")
            if term in said:
                raise ValueError(f"{term}: is given twice")
            if value:
                said[term] = value
        found = Filter.of(
            said.get("state"), said.get("name"), said.get("queue"),
            _tag(said.get("tag")), _age(said.get("since")),
        )  # fmt: skip
        return cls(found, said.get("error", ""), said.get("worker", ""))

    def passes(self, told: RunInfo) -> bool:
        """Whether a task that the brokers' filter let through is meant."""
        last = told.attempts[-1] if told.attempts else None
        error, worker = (last.error or "", last.worker or "") if last else ("", "")
        return self.error.lower() in error.lower() and self.worker in worker


@dataclass(frozen=True, slots=True)
class Found:
    """A page of tasks, newest first."""

    tasks: list[RunInfo]
    #: Where the next page begins; None if there is none.
    before: int | None
    #: Tasks that were looked at.
    scanned: int


def search(
    app: App,
    wanted: Search,
    limit: int,
    before: int | None,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Look until there are `limit` tasks, no more of them, or the budget is spent.

    Raises Unavailable, PermissionDenied.
    """
    asked, until = wanted.filter, clock() + TIME_MAX_S
    since = 0
    if asked.since is not None:
        since = max(1, int((datetime.now(UTC) - asked.since).timestamp() * 1000))
    found, scanned, at = list[RunInfo](), 0, INT_MAX if before is None else before
    while at > 0 and len(found) < limit and scanned < ROWS_MAX and clock() < until:
        request = ListTasks(
            *(0, at, min(limit - len(found), PAGE_MAX), asked.state),
            *(asked.name, asked.queue, list(asked.tag), since),
        )
        page = app.call(request, TaskPage).result()
        found += filter(wanted.passes, map(summary, page.tasks))
        scanned, at = scanned + page.scanned, page.before
    return Found(found, at or None, scanned)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        raise ValueError("a quote is not closed") from None


def _tag(value: str | None) -> tuple[str, str] | None:
    if value is None:
        return None
    key, equals, of = value.partition("=")
    if not equals:
        raise ValueError(f"tag: must be KEY=VALUE, got {value!r:.80}")
    return key, of


def _age(value: str | None) -> float | None:
    if value is None:
        return None
    found = _AGE.fullmatch(value)
    if found is None:
        raise ValueError(f"since: must be an age such as 90s, 15m, 1h or 7d, got {value!r:.80}")
    return float(found[1]) * _UNITS_S[found[2] or "s"]
