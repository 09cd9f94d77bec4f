"""Clients that wait while their key is refused get what their key may enqueue, as time passes."""

import heapq
from itertools import count
from random import Random
from typing import cast

import pytest

from raftwork.broker.access.access_list import Grant
from raftwork.broker.access.rates import Rates
from raftwork.client.calls import Call
from raftwork.client.session import Session
from raftwork.errors import QueueFull
from raftwork.features import from_broker, to_broker
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.messages import Code, FromBroker, Leader, Refused, Spec, ToBroker, encode_spec
from raftwork.wire import pack, unpack

ADDRESS = "127.0.0.1:7701"
RATE = 100
GRANT = Grant("ada", frozenset(), tasks_per_second=RATE)
SPEC = encode_spec(Spec("t", "q"))
LONG = 10**9


class Line:
    """A client and its leader, each frame under way for so long (ms)."""

    def __init__(self, delay: int) -> None:
        self.session = Session([ADDRESS], Random(7))
        self.rates = Rates()
        self.delay, self.now, self.taken = delay, 0, 0
        self._order = count()
        self._under_way: list[tuple[int, int, bool, bytes]] = []

    def run(self, until: int, callers: int, batch: int) -> None:
        """Each caller enqueues one batch after the other."""
        self.session.link_up(ADDRESS, 0)
        idle = callers
        while self.now < until:
            calls = [self._call(batch) for _ in range(idle)]
            self.session.submit_all(calls, self.now)
            idle = self._collect()
            due = [self.session.wake_at or LONG, self._under_way[0][0] if self._under_way else LONG]
            if not idle:
                self.now = max(self.now, min(due))
            self._deliver()
            self.session.wake(self.now)
            idle += self._collect()

    def _call(self, batch: int) -> Call:
        ids = tuple(str(n) for n in range(batch))
        request = Enqueue(0, 0, SPEC, pack([0] * batch))
        return Call(request, Enqueued, self.now + LONG, ids=ids, wait_when_full=True)

    def _collect(self) -> int:
        """How many callers have their answer."""
        out = self.session.take()
        for _, frame in out.frames:
            self._send(frame, to_leader=True)
        for answer in out.answers:
            assert answer.error is None
            self.taken += len(answer.call.ids)
        return len(out.answers)

    def _send(self, frame: bytes, *, to_leader: bool) -> None:
        heapq.heappush(
            self._under_way, (self.now + self.delay, next(self._order), to_leader, frame)
        )

    def _deliver(self) -> None:
        while self._under_way and self._under_way[0][0] <= self.now:
            _, _, to_leader, frame = heapq.heappop(self._under_way)
            if to_leader:
                answer = self._answer(to_broker.decode(frame), len(frame))
                self._send(from_broker.encode(answer), to_leader=False)
            else:
                self.session.receive(ADDRESS, frame, self.now)

    def _answer(self, asked: ToBroker, size: int) -> FromBroker:
        if not isinstance(asked, Enqueue):
            return Leader(1, "a", ADDRESS, active=True, time=self.now)
        tasks = cast("list[object]", unpack(asked.tasks))
        try:
            self.rates.take(GRANT, len(tasks), size, self.now)
        except QueueFull as error:
            return Refused(asked.request, Code.QUEUE_FULL, str(error))
        return Enqueued(asked.request)


@pytest.mark.parametrize(
    ("callers", "batch", "delay"),
    [(1, 1, 2), (8, 1, 12), (60, 1, 12), (1, 10, 25), (1, 250, 2)],
)
def test_a_patient_client_gets_its_keys_rate_however_it_asks(
    callers: int, batch: int, delay: int
) -> None:
    """But one at a time, of which each takes longer than the rate has room for."""
    line, seconds = Line(delay), 20
    line.run(seconds * 1_000, callers, batch)
    due = RATE * (seconds + 1)  # a second's worth comes at once
    assert 0.95 * due <= line.taken <= due + batch
