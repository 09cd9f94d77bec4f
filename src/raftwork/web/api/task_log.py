"""What a running task logs, as the API tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.client.live_log import LogReader
from raftwork.client.task_documents import progress_document
from raftwork.errors import Unsupported
from raftwork.web.access import Forbidden

if TYPE_CHECKING:
    from datetime import datetime

    from raftwork.client.live_log import LogPage
    from raftwork.web.api.endpoint import Asked
    from raftwork.web.api.sight import Sight

#: For a line, if there is none: a thread of this process waits meanwhile.
WAIT_MS: Final = 500


def task_log(sight: Sight, asked: Asked) -> object:
    """The lines of a running task behind `after`, oldest first; it waits half a second for one.

    Ask again with the `after` of the answer. `over` says that nothing more comes; of a task that
    has failed, the last lines that were kept are told then, without their times.
    """
    if not asked.payloads:
        raise Forbidden("what tasks log is part of their contents, which are not shown here")
    run = sight.app.run(asked.text("id"))
    reader = LogReader(sight.app, run.id, asked.text("after"))
    page = reader.page(reader.ask(WAIT_MS).result())
    if page.why:
        raise Unsupported(page.why)
    lines = [{"at": _iso(at), "text": text} for at, text in page.lines]
    if page.over and not page.attempt and not asked.text("after"):
        kept = run.report().log or ""
        lines = [{"at": None, "text": line} for line in kept.splitlines()]
    return _document(page, lines)


def _document(page: LogPage, lines: list[dict[str, str | None]]) -> dict[str, object]:
    return {
        "status": page.status.value,
        "attempt": page.attempt or None,
        "worker": page.worker,
        "started": _iso(page.started),
        "progress": progress_document(page.progress),
        "lines": lines,
        "gap": page.gap,
        "after": page.cursor,
        "heard": page.heard,
        "over": page.over,
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
