"""What admins did, as a program sees it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from raftwork.features.audit import PAGE_MAX, AskAudit, AuditTold

if TYPE_CHECKING:
    from raftwork.client.caller import Caller


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A request that only admins may make."""

    at: datetime
    who: str  # the name of the key
    what: str
    outcome: str  # `done`, or why not
    number: int


def entries(app: "Caller", limit: int) -> Iterator[AuditEntry]:
    """The newest ones, newest first. Raises Unavailable, PermissionDenied."""
    before = 0
    while limit > 0:
        asked = AskAudit(0, before, min(limit, PAGE_MAX))
        rows = app.call(asked, AuditTold).result().rows
        for number, time, who, what, outcome in rows:
            at = datetime.fromtimestamp(time / 1_000, UTC)
            yield AuditEntry(at, who, what, outcome, number)
        if len(rows) < asked.limit:
            return
        before, limit = rows[-1].number, limit - len(rows)
