"""A client's conversation with the brokers: facts go in, one Output comes out. No I/O, no clock.

Calls are in `requests`, awaited outcomes in `watches`, the leader is in `discovery`; here each
frame, link change and deadline is routed to them. Times are ms of a clock that only grows.
"""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from raftwork.client.alarm import Alarm
from raftwork.client.calls import Answered, Call
from raftwork.client.leader_discovery import Brokers, LeaderEndpoint
from raftwork.client.requests import Requests
from raftwork.client.watches import Watches
from raftwork.errors import BadMessage
from raftwork.features import from_broker, to_broker
from raftwork.features.enqueue import Enqueued
from raftwork.features.results import Results, Watched
from raftwork.messages import (
    Code,
    FromBroker,
    HelloFirst,
    Leader,
    Refused,
    Result,
)

if TYPE_CHECKING:
    from random import Random


class Output(NamedTuple):
    """What to do now, in this order."""

    connect: list[str]
    frames: list[tuple[str, bytes]]
    answers: list[Answered]
    #: Outcomes of watched tasks: final, or UNKNOWN.
    outcomes: list[Result]
    #: Why no outcome that is waited for will come: no broker lets this client in.
    denied: str | None = None


class Session:
    """One client's calls and watches, through all changes of the leader."""

    def __init__(self, brokers: Sequence[str], rng: "Random") -> None:
        self._alarm = Alarm()
        self._brokers = Brokers(brokers)
        numbers = count(1)
        self._requests = Requests(self._brokers, self._alarm, numbers, rng)
        self._watches = Watches(self._brokers, self._alarm, numbers)
        self._endpoint: LeaderEndpoint | None = None
        self._denied: str | None = None

    # ---- facts from callers -------------------------------------------------------------------

    def submit(self, call: Call, now: int) -> int:
        """Send the call to the leader by its deadline; returns its number."""
        self.submit_all((call,), now)
        return call.number

    def submit_all(self, calls: Iterable[Call], now: int) -> None:
        """As `submit`, of all that come together: those that can will share requests."""
        if not self._busy:
            self._alarm.due(self._brokers.wake_at)
        self._requests.submit(calls, now)

    def watch(self, ids: Iterable[str], now: int) -> None:
        """Deliver each of these outcomes once known; without end, under any leader."""
        if not self._busy:
            self._alarm.due(self._brokers.wake_at)
        self._watches.add(ids, now)

    def unwatch(self, ids: Iterable[str]) -> None:
        """These outcomes are no longer wanted."""
        self._watches.remove(ids)

    # ---- facts from the network ---------------------------------------------------------------

    def link_up(self, address: str, now: int) -> None:
        """There is a connection to the broker at `address`."""
        self._brokers.link_up(address, now)
        self._follow(now)

    def link_down(self, address: str, now: int) -> None:
        """The connection to the broker at `address` is gone."""
        self._brokers.link_down(address)
        self._follow(now)

    def unreachable(self, address: str, text: str) -> None:
        """No connection is possible for now, and why; an empty text says that this is over."""
        self._brokers.unreachable(address, text)

    def denied(self, address: str, text: str, now: int) -> None:
        """The broker at `address` does not let this client in, and why."""
        self._brokers.denied(address, text, now)
        self._alarm.due(now)

    def receive(self, address: str, frame: bytes, now: int) -> None:
        """A frame from the broker at `address`. A malformed one is dropped."""
        self._brokers.heard(address)
        try:
            message = from_broker.decode(frame)
        except BadMessage as error:
            self._brokers.refused(address, f"it sent {error}")
            return
        self._handle(address, message, now)

    def wake(self, now: int) -> None:
        """Do whatever is due by `now`."""
        if self._alarm.at is None or now < self._alarm.at:
            return
        if not self._busy:
            self._alarm.at = None
            return
        if (why := self._brokers.verdict(now)) is not None:
            self._alarm.at, self._denied = None, why
            self._requests.deny(why)
            self._watches.drop_all()
            return
        ask_at = self._brokers.wake(now)
        self._follow(now)
        self._alarm.at = ask_at  # the steps below lower it to whatever else is due
        self._requests.wake(now)
        self._watches.wake(now)

    # ---- values -------------------------------------------------------------------------------

    @property
    def gathers(self) -> bool:
        """Whether more enqueues of one task would only wait here until others are answered."""
        return self._requests.gathers

    @property
    def wake_at(self) -> int | None:
        """When to call `wake`, if nothing happens before."""
        return self._alarm.at

    def take(self) -> Output:
        """Drain the output since the last call."""
        connect, messages = self._brokers.take()
        frames = []
        if messages:
            frames = [(address, to_broker.encode(message)) for address, message in messages]
        denied, self._denied = self._denied, None
        return Output(connect, frames, self._requests.take(), self._watches.take(), denied)

    def abandon(self, reason: str) -> None:
        """Fail every call that is still out: the client is closing."""
        self._requests.abandon(reason)

    # ---- inside -------------------------------------------------------------------------------

    @property
    def _busy(self) -> bool:
        return bool(self._requests or self._watches)

    def _follow(self, now: int) -> None:
        """Send to the leader's new endpoint whatever it has not been sent."""
        lost, self._endpoint = self._endpoint, self._brokers.endpoint
        if self._endpoint is not None:
            self._watches.follow(now)
            self._requests.follow(now)
        elif lost is not None and self._busy:
            self._brokers.ask_soon()
            self._alarm.due(now)

    def _handle(self, address: str, message: FromBroker, now: int) -> None:
        match message:
            case Results(results):
                self._watches.settle(results, now)
            case Watched(number):
                self._watches.confirmed(number)
            case Leader():
                self._brokers.leader_is(address, message, now)
                self._follow(now)
            case HelloFirst():
                self._brokers.hello_first(address, now)
                self._follow(now)
            case Refused():
                self._refused(address, message, now)
            case _:  # the answer to a call; or meant for workers or peers, and dropped
                ended = self._requests.answered(message, now)
                if isinstance(message, Enqueued) and message.watched:
                    ids = [task for call in ended if call.slot is not None for task in call.ids]
                    self._watches.stand(ids, address, now)

    def _refused(self, address: str, refused: Refused, now: int) -> None:
        if refused.code == Code.NOT_LEADER:
            self._brokers.not_leader(address)
            self._follow(now)
        elif refused.code == Code.PERMISSION_DENIED and not refused.request:
            self.denied(address, refused.text, now)
        elif not (self._requests.refused(refused, now) or self._watches.awaits(refused.request)):
            self._brokers.refused(address, refused.text)
