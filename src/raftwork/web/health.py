"""What `/livez`, `/readyz` and `/safe-to-stop` answer, by what brokers say of themselves. Sans-IO.

1. Alive is a broker whose loop answers; never its role, nor whether there is a quorum. Whoever
   restarts brokers for want of a quorum has none for good.
2. Ready is one that is a member, whole, knows a leader that serves, has room on its disk and is not
   behind: a rolling update waits for that before it goes on to the next.
3. Safe to stop is one without which the others are enough (client/may_stop.py).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from raftwork.client.may_stop import VOTERS, objection
from raftwork.durations import in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raftwork.messages import BrokerStatus

#: A loop that has not answered for so long is dead, ms.
ALIVE_MS: Final = 10_000
#: What was committed so long ago must have been applied, ms.
BACKLOG_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Check:
    """One answer. `why` says what is wrong; empty if nothing is."""

    name: str
    why: str = ""

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.why


@dataclass(slots=True)
class Health:
    """Of the broker called `name`. Times are monotonic ms."""

    name: str
    began: int
    #: What each broker said last, by name; None: it did not answer.
    statuses: Mapping[str, BrokerStatus | None] = field(default_factory=dict)
    #: When this broker answered last.
    heard: int | None = None
    _committed: deque[tuple[int, int]] = field(default_factory=deque)

    def look(self, statuses: Mapping[str, BrokerStatus | None], now: int) -> None:
        """What was found now."""
        self.statuses = statuses
        mine = statuses.get(self.name)
        if mine is None:
            return
        self.heard = now
        self._committed.append((now, mine.committed))
        while len(self._committed) > 1 and self._committed[1][0] <= now - BACKLOG_MS:
            self._committed.popleft()

    def alive(self, now: int) -> list[Check]:
        """Whether its loop turns. One that has just been started has its time, too."""
        since = self.began if self.heard is None else self.heard
        silent = now - since
        why = "" if silent <= ALIVE_MS else f"it has not answered for {in_words(silent // 1_000)}"
        return [Check("loop", why)]

    def ready(self, now: int) -> list[Check]:
        """Each thing that it takes."""
        mine = self.statuses.get(self.name)
        if mine is None:
            return [*self.alive(now), Check("member", "it does not answer")]
        return [
            *self.alive(now),
            Check("member", self._member(mine)),
            Check("leader", self._leader(mine)),
            Check("backlog", self._backlog(mine, now)),
            Check("disk", self._disk(mine)),
        ]

    def safe_to_stop(self) -> list[Check]:
        """Whether the others are enough without it."""
        if self.statuses.get(self.name) is None:
            return [Check("others", f"{self.name} does not answer")]
        return [Check("others", objection(self.name, self.statuses) or "")]

    def _member(self, mine: BrokerStatus) -> str:
        if not mine.epoch:
            return "it waits for the other brokers to form a cluster"
        return "" if mine.role in VOTERS else f"it is a {mine.role}: it has not got everything yet"

    def _leader(self, mine: BrokerStatus) -> str:
        if mine.active:
            return ""
        if not mine.leader:
            return "it knows of no leader"
        leader = self.statuses.get(mine.leader)
        if leader is None:
            return f"its leader, {mine.leader}, does not answer"
        return "" if leader.active else f"its leader, {mine.leader}, does not serve yet"

    def _backlog(self, mine: BrokerStatus, now: int) -> str:
        at, committed = self._committed[0]
        if mine.applied >= committed or now - at < BACKLOG_MS:
            return ""
        return (
            f"it has not applied {committed - mine.applied} entries that were committed"
            f" {in_words((now - at) // 1_000)} ago"
        )

    def _disk(self, mine: BrokerStatus) -> str:
        """By its own word: a broker without a reserve needs no room, whoever set it so."""
        disk = mine.disk
        if not disk.low:
            return ""
        return f"{disk.free >> 20} MiB are free, {disk.needed >> 20} MiB must be: make room"
