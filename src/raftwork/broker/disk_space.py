"""Whether the brokers' disks have room for new work. Sans-IO: free bytes come in as facts.

1. A broker is low while less than its reserve is free; and once it was, until an eighth more is:
   what frees a little must not open and close the cluster over and over.
2. New work is refused while those that are heard and not low are no majority. It is stored by a
   majority, so one of the low ones would take part in it until it is full. One full disk of three
   costs that broker, and not the cluster.
3. Finishing, retrying, purging and reading go on: they are what makes room.
4. Nothing of it is stored, nor has anybody to end it: it is over when there is room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.consensus.quorum import majority
from raftwork.messages import DiskRoom

if TYPE_CHECKING:
    from collections.abc import Iterable

#: A broker that has said nothing for so long (ms) is none that stores new work.
FRESH_MS: Final = 5_000
#: A leader whose disk is low asks another to lead, and if it still leads then, so long (ms) after.
HAND_OVER_MS: Final = 10_000


class DiskSpace:
    """Of one broker's disk, and of the others' as they tell. Times are monotonic ms."""

    def __init__(self, name: str = "", names: Iterable[str] = (), reserve_bytes: int = 0) -> None:
        """Without a reserve this broker is never low."""
        self._name, self._reserve = name, reserve_bytes
        self._rooms: dict[str, tuple[DiskRoom, int] | None] = dict.fromkeys((name, *names))
        #: Of this broker; it has room until it has looked, and without a reserve it never looks.
        self.room = DiskRoom()
        #: Why no new work is taken, for people; empty while it is.
        self.shortage = ""
        self._asked_at = -HAND_OVER_MS

    def look(self, free_bytes: int, now: int) -> None:
        """So much is free on this broker's disk. To be called every second or so."""
        needed = self._reserve + (self._reserve // 8 if self.room.low else 0)
        self.room = DiskRoom(free_bytes, needed)
        self.heard(self._name, self.room, now)

    def heard(self, name: str, room: DiskRoom, now: int) -> None:
        """A broker says how much room it has."""
        self._rooms[name] = room, now
        self.shortage = self._why(now)

    def _why(self, now: int) -> str:
        fresh = {
            name: said[0] if said is not None and now - said[1] < FRESH_MS else None
            for name, said in self._rooms.items()
        }
        fresh[self._name] = self.room
        low = {name: room for name, room in fresh.items() if room is not None and room.low}
        if not low:
            return ""
        fit = sum(room is not None and not room.low for room in fresh.values())
        if fit >= majority(len(fresh)):
            return ""
        silent = [name for name, room in fresh.items() if room is None]
        full = "; ".join(
            f"the disk of {name} has {room.free >> 20} MiB free, {room.needed >> 20} MiB must be"
            for name, room in low.items()
        )
        away = f"; {', '.join(silent)} cannot be asked" if silent else ""
        return (
            f"no new tasks are taken for now: {full}{away}. Make room there, or purge what need"
            " not run; it goes on by itself then"
        )

    def hands_over(self, now: int) -> bool:
        """Whether a leader here should ask another broker to lead: true once in a while.

        A broker that leads until its disk is full ends as the leader, which costs an election.
        """
        if not self.room.low or self.shortage or now - self._asked_at < HAND_OVER_MS:
            return False
        self._asked_at = now
        return True
