"""The outcomes a session wants, and the endpoint that knows it. No I/O, no clock.

A watch belongs to one endpoint. It is registered anew at every new one, and after a quiet while,
because a pushed outcome may have been dropped.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from raftwork.client.calls import Outgoing
from raftwork.client.leader_discovery import LeaderEndpoint
from raftwork.features.results import Watch
from raftwork.messages import WATCH_IDS_MAX, Result, State

if TYPE_CHECKING:
    from raftwork.client.alarm import Alarm
    from raftwork.client.leader_discovery import Brokers

#: Of quiet, before all watches are registered again at the same endpoint; doubled each time.
REFRESH_FIRST_MS, REFRESH_MAX_MS = 5_000, 60_000


class Watches:
    """Every id with a wanted outcome. A watch has no caller: it is repeated until confirmed."""

    def __init__(self, brokers: "Brokers", alarm: "Alarm", numbers: Iterator[int]) -> None:
        self._brokers = brokers
        self._alarm = alarm
        self._numbers = numbers
        self._ids: dict[str, None] = {}
        self._endpoint: LeaderEndpoint | None = None
        self._unconfirmed: dict[int, Outgoing] = {}
        self._refresh_at = 0
        self._wait = REFRESH_FIRST_MS
        self._outcomes: list[Result] = []

    def __bool__(self) -> bool:
        """Whether any outcome is wanted, or a watch is still out."""
        return bool(self._ids or self._unconfirmed)

    # ---- facts --------------------------------------------------------------------------------

    def add(self, ids: Iterable[str], now: int) -> None:
        """Deliver each of these outcomes once known; without end, under any leader."""
        new = [i for i in ids if i not in self._ids]
        self._ids.update(dict.fromkeys(new))
        self._quiet_from(now)
        self._alarm.due(self._refresh_at)
        self._register(new, now)

    def stand(self, ids: Iterable[str], address: str, now: int) -> None:
        """As `add`, for what the leader at `address` watches already, since the enqueue."""
        endpoint = self._brokers.endpoint
        if endpoint is None or endpoint.address != address:
            self.add(ids, now)  # it led when it answered
            return
        self._endpoint = self._endpoint or endpoint
        self._ids.update(dict.fromkeys(ids))
        self._quiet_from(now)
        self._alarm.due(self._refresh_at)

    def remove(self, ids: Iterable[str]) -> None:
        """These outcomes are no longer wanted."""
        for task in ids:
            self._ids.pop(task, None)

    def drop_all(self) -> None:
        """No outcome is wanted any more."""
        self._ids.clear()
        self._unconfirmed.clear()

    def confirmed(self, number: int) -> None:
        """The leader has the watch of this number."""
        self._unconfirmed.pop(number, None)

    def awaits(self, number: int) -> bool:
        """Whether a watch of this number is out."""
        return number in self._unconfirmed

    def settle(self, results: Iterable[Result], now: int) -> None:
        """Take pushed results; those not final or not watched are ignored."""
        for result in results:
            wanted = result.id in self._ids
            if wanted and (result.state.final or result.state is State.UNKNOWN):
                del self._ids[result.id]
                self._outcomes.append(result)
        self._quiet_from(now)

    def follow(self, now: int) -> None:
        """Register at the leader's endpoint, if it is a new one."""
        if self._endpoint != self._brokers.endpoint:
            self._register_all(now)

    def wake(self, now: int) -> None:
        """Send again what is unconfirmed, and all of it after a quiet while."""
        for watch in self._unconfirmed.values():
            watch.send_again(self._brokers, self._alarm, now)
        if not self._ids:
            return
        if now >= self._refresh_at:
            self._wait = min(self._wait * 2, REFRESH_MAX_MS)
            self._refresh_at = now + self._wait
            self._register_all(now)
        self._alarm.due(self._refresh_at)

    def take(self) -> list[Result]:
        """The outcomes that have come since the last time."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    # ---- inside -------------------------------------------------------------------------------

    def _quiet_from(self, now: int) -> None:
        self._wait = REFRESH_FIRST_MS
        self._refresh_at = now + self._wait

    def _register(self, ids: Iterable[str], now: int) -> None:
        left = iter(ids)
        while chunk := list(islice(left, WATCH_IDS_MAX)):
            watch = Outgoing(Watch(0, chunk))
            watch.number = next(self._numbers)
            self._unconfirmed[watch.number] = watch
            watch.send(self._brokers, self._alarm, now)
        self._endpoint = self._endpoint or self._brokers.endpoint

    def _register_all(self, now: int) -> None:
        self._unconfirmed.clear()
        self._endpoint = self._brokers.endpoint
        self._register(self._ids, now)
