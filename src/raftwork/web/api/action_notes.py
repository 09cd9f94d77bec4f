"""What is done here goes into the cluster's audit, with the name of who did it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from raftwork.errors import RaftworkError, Unavailable
from raftwork.features.audit import TEXT_MAX, ActionNoted, NoteAction
from raftwork.messages import NAME_MAX

if TYPE_CHECKING:
    from raftwork.web.api.endpoint import Asked
    from raftwork.web.api.sight import Sight

#: Waited for at most, s: what was done stands all the same.
NOTE_S: Final = 5.0

log = logging.getLogger("raftwork.web")


def outcome_of(error: Exception) -> str:
    """What came of an action that raised this."""
    told = f"{type(error).__name__}: {error}"
    if isinstance(error, Unavailable | TimeoutError):
        # It may be in the log, and be carried out by the next leader.
        return f"not known, it may have been done: {told}"
    return told


def note(sight: Sight, asked: Asked, what: str, outcome: str) -> None:
    """Have it written down. What cannot be stands in this process's log alone, which says so."""
    said = f"dashboard: {what} {asked.said()}"
    who = asked.visitor.name[:NAME_MAX]  # a longer one would be refused, and the row with it
    row = NoteAction(0, who, said[:TEXT_MAX], outcome[:TEXT_MAX])
    try:
        sight.app.call(row, ActionNoted).result(NOTE_S)
    except (RaftworkError, TimeoutError) as refused:
        log.warning("not in the audit: %s", refused)
