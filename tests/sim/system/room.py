"""What may wait in queues: the rules of docs/prevention.md over what was applied.

A batch is judged where it is applied; a limit counts what waits, not what runs; what is in stays.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from raftwork.consensus.core import ORIGIN, Position
from raftwork.features.queue_settings import Configure, settings_of
from raftwork.messages import QueueStatus
from raftwork.wire import unpack
from tests.sim.system.promises import Violation
from tests.sim.system.timeline import Timeline


class Settings(NamedTuple):
    """What stands for a queue: empty or 0 where nothing does."""

    balancer: str = ""
    max_length: int = 0
    max_bytes: int = 0

    def changed(self, change: Configure) -> "Settings":
        given = cast("dict[str, Any]", unpack(change.changes))
        return self._replace(
            **{name: value or getattr(NONE, name) for name, value in given.items()}
        )

    def lack(self, tasks: int, size: int) -> str:
        """Which limit so much is beyond."""
        if 0 < self.max_length < tasks:
            return "length"
        return "bytes" if 0 < self.max_bytes < size else ""


NONE = Settings()


def told_settings(packed: bytes) -> Settings:
    """What a replica stores or tells."""
    known = settings_of(packed)
    return Settings(known.balancer or "", known.max_length or 0, known.max_bytes or 0)


class Level(NamedTuple):
    """What waits."""

    tasks: int = 0
    size: int = 0


@dataclass(slots=True)
class Room:
    """One queue, and how it came to what it is."""

    level: Level = field(default_factory=Level)
    settings: Settings = field(default_factory=Settings)
    #: Where each change was applied, and what has stood since.
    changed_at: list[Position] = field(default_factory=list)
    stood: list[Settings] = field(default_factory=lambda: [Settings()])
    #: Since when (virtual time) so much waits, under which settings.
    levels: list[tuple[int, Level, Settings]] = field(default_factory=list)

    def lack(self, tasks: int, size: int) -> str:
        """Why so many more do not fit, or nothing."""
        return self.settings.lack(self.level.tasks + tasks, self.level.size + size)

    @property
    def full(self) -> bool:
        return bool(self.lack(1, 1))


@dataclass(slots=True)
class Rooms:
    """All queues."""

    timeline: Timeline
    #: Where the last entry was applied that anybody applied.
    newest: Position = ORIGIN
    queues: dict[str, Room] = field(default_factory=dict)
    #: Every change, in the order in which they were applied.
    changes: list[Configure] = field(default_factory=list)

    def of(self, queue: str) -> Room:
        return self.queues.setdefault(queue, Room())

    def move(self, queue: str, tasks: int, size: int) -> None:
        """So many more wait, or fewer."""
        room = self.of(queue)
        room.level = Level(room.level.tasks + tasks, room.level.size + size)
        self._keep(room)

    def configure(self, change: Configure) -> None:
        self.changes.append(change)
        room = self.of(change.queue)
        room.settings = room.settings.changed(change)
        room.changed_at.append(self.newest)
        room.stood.append(room.settings)
        self._keep(room)

    def _keep(self, room: Room) -> None:
        if len(room.stood) > 1:
            room.levels.append((self.timeline.now, room.level, room.settings))

    def lacked(self, queue: str, tasks: int, size: int, since: int, until: int) -> bool:
        """Whether at some moment between so many did not fit."""
        for at, level, settings in reversed(self.of(queue).levels):
            if at < until and settings.lack(level.tasks + tasks, level.size + size):
                return True
            if at < since:
                break
        return False

    def compare(self, name: str, at: Position, told: Iterable[QueueStatus]) -> None:
        """A replica that has applied everything up to `at` knows the settings of that moment."""
        found = {status.name: status for status in told}
        for queue, room in self.queues.items():
            status = found.get(queue, QueueStatus(queue, 0, 0, 0, 0, 0))
            held = told_settings(status.settings)
            stands = room.stood[bisect_right(room.changed_at, at)]
            if held != stands:
                text = f"{name} holds {held} for {queue} at {at}, set was {stands}"
                raise Violation("settings stand", text)
            if at >= self.newest:
                level = Level(status.queued + status.scheduled + status.blocked, status.bytes)
                if level != room.level:
                    text = f"{name} counts {level} in {queue} at {at}, there are {room.level}"
                    raise Violation("queues counted", text)
