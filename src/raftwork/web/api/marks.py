"""Marks: looking at them, and putting one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from raftwork.client.documents import said_at

if TYPE_CHECKING:
    from raftwork.web.api.endpoint import Asked
    from raftwork.web.api.sight import Sight


def marks(sight: Sight, asked: Asked) -> object:
    """The newest hundred since a time."""
    since = asked.number("since")
    begin = None if not since else datetime.fromtimestamp(since, UTC)
    found = sight.app.cluster.marks(begin)
    return {"marks": [{"at": said_at(mark.at), "text": mark.text} for mark in found]}


def mark(sight: Sight, asked: Asked) -> object:
    """Put one at this moment."""
    sight.app.cluster.mark(asked.text("text"))
    return {"marked": asked.text("text")}
