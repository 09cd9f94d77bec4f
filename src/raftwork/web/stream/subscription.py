"""What a viewer of the stream asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from raftwork.client.events import NOW, kind_number
from raftwork.client.options import label, queue_name, task_id
from raftwork.features.event_feed import Cursor, Wanted, parse_cursor
from raftwork.messages import NAME_MAX

if TYPE_CHECKING:
    from raftwork.web.api.endpoint import Asked
    from raftwork.web.api.sight import Sight

EVENTS: Final = "events"
CHANGED: Final = "changed"
TOPICS: Final = (EVENTS, CHANGED)


@dataclass(frozen=True, slots=True)
class Subscription:
    """Without a cursor it begins with what happens from now on."""

    after: Cursor | None
    wanted: Wanted
    events: bool
    changed: bool


def stream(sight: Sight, asked: Asked) -> Subscription:
    """Server-sent events, without end.

    `events`: {"events": […], "skipped": n}, where n are so many that are not told, since they are
    alike or too many; its id is a cursor, and `Last-Event-ID` goes on behind it. `gap`: events are
    missing here. `changed`: {"changed": ["queues", …], "events": b}, what is another than a second
    ago, and whether that is told also of what only events say. A comment comes every 15 s. Raises
    ValueError, NoApp.
    """
    topics = _words(asked.text("topics")) or TOPICS
    if unknown := {*topics} - {*TOPICS}:
        raise ValueError(f"topics: they are {', '.join(TOPICS)}; got {min(unknown)!r:.80}")
    if EVENTS in topics:
        _ = sight.app  # it has to be one that may ask the leader
    return Subscription(_after(asked), wanted(asked), EVENTS in topics, CHANGED in topics)


def events_stream(sight: Sight, asked: Asked) -> Subscription:
    """As `stream`, of events alone."""
    _ = sight.app
    return Subscription(_after(asked), wanted(asked), events=True, changed=False)


def wanted(asked: Asked) -> Wanted:
    """Which events. Raises ValueError."""
    queue, name, id_ = asked.text("queue"), asked.text("name"), asked.text("id")
    return Wanted(
        frozenset(kind_number(word) for word in _words(asked.text("kind"))),
        queue and queue_name(queue),
        name and label("name", name, NAME_MAX),
        id_ and task_id(id_),
    )


def _after(asked: Asked) -> Cursor | None:
    text = asked.text("after")
    return None if text in ("", NOW) else parse_cursor(text)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
