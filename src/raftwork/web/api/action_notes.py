"""What is done here goes into the cluster's audit, with the name of who did it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from raftwork.errors import RaftworkError, Unavailable
from raftwork.features.audit import DONE, TEXT_MAX, ActionNoted, NoteAction

if TYPE_CHECKING:
    from raftwork.web.api.endpoint import Asked
    from raftwork.web.api.sight import Sight

#: Waited for at most, s: what was done stands all the same.
NOTE_S: Final = 5.0

log = logging.getLogger("raftwork.web")


def note(sight: Sight, asked: Asked, what: str, error: Exception | None) -> None:
    """Have it written down. What cannot be stands in this process's log alone, which says so."""
    if asked.flag("preview") or isinstance(error, Unavailable):
        return  # nothing was done; or nobody is there to write it down
    outcome = DONE if error is None else f"{type(error).__name__}: {error}"
    said = f"dashboard: {what} {asked.said()}"
    row = NoteAction(0, asked.visitor.name, said[:TEXT_MAX], outcome[:TEXT_MAX])
    try:
        sight.app.call(row, ActionNoted).result(NOTE_S)
    except (RaftworkError, TimeoutError) as refused:
        log.warning("not in the audit: %s", refused)
