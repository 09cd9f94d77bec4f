"""What happened, page by page: for who asks now and then, and keeps a cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.client.events import NOW, event_document, event_of
from raftwork.features.event_feed import START, Begin, Cursor, EventsRead, ReadEvents, parse_cursor
from raftwork.web.stream.subscription import wanted

if TYPE_CHECKING:
    from raftwork.web.api.endpoint import Asked
    from raftwork.web.api.sight import Sight

#: Events of one page.
EVENTS_MAX: Final = 1_000
_SHOWN: Final = 100


def events(sight: Sight, asked: Asked) -> object:
    """Events, oldest first: those behind `after`, or from the oldest that is kept.

    Ask again with `after` as `cursor` says, also where there were none: the leader looks at so many
    for one answer, and `more` says that there may be more at once. `after=now` answers with the
    cursor of this moment. With `gap` events between `after` and the first of these are not kept
    any more. Who accepts `text/event-stream` gets them as `stream` has them, as they happen.
    """
    after = asked.text("after")
    begin = {"": Begin.OLDEST, NOW: Begin.NOW}.get(after, Begin.AFTER)
    at = parse_cursor(after) if begin is Begin.AFTER else START
    which = wanted(asked)
    limit = asked.whole("limit") or _SHOWN
    kinds = sorted(which.kinds)
    page = sight.app.call(
        ReadEvents(0, begin, *at, limit, 0, kinds, which.queue, which.name, which.id), EventsRead
    ).result()
    return {
        "events": [event_document(event_of(told)) for told in page.events],
        "cursor": str(Cursor(page.epoch, page.seq, page.n)),
        "gap": page.gap,
        "more": page.more,
    }
