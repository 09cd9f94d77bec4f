"""Many callers at once, each one by one: threads, and coroutines of one loop."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from raftwork import App, ProtocolError
from raftwork.client.transport import Connection
from raftwork.features.enqueue import Enqueue
from raftwork.messages import Code, FromBroker, Refused, ToBroker
from raftwork.wire import unpack
from tests.unit.client.broker import VALUE, Broker

CALLERS = 200
#: Of requests, or of wakes of a loop: far fewer than there are callers. The first few leave at
#: once, and what is taken in while the rest is handed over may make a few parts.
FEW = 20


class Gate(Broker):
    """Answers nothing about tasks before it is opened; and refuses a batch with a task `bad`."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.enqueues: list[list[str]] = []

    def _answers(self, message: ToBroker) -> list[FromBroker]:
        if not isinstance(message, Enqueue):
            return super()._answers(message)
        assert self.open.wait(20)
        ids = [task[0] for task in cast("list[list[str]]", unpack(message.tasks))]
        self.enqueues.append(ids)
        if "bad" in ids:
            return [Refused(message.request, Code.PROTOCOL, "bad is there with other contents")]
        return super()._answers(message)


@pytest.fixture
def broker() -> Iterator[Gate]:
    with Gate() as made:
        try:
            yield made
        finally:
            made.open.set()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_threads_that_enqueue_one_by_one_share_requests(
    broker: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[object] = []
    call = Connection.call

    def counted(*given: Any, **named: Any) -> object:
        reply = call(*given, **named)
        called.append(reply)
        return reply

    monkeypatch.setattr(Connection, "call", counted)
    with App(broker.address) as app, ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(app.enqueue, "t", n) for n in range(CALLERS)]
        until(lambda: len(called) == CALLERS)
        broker.open.set()
        ids = [each.result(20).id for each in calls]
    # On a busy machine the gate may be shut for so long that some are sent again.
    assert set(ids) == {each for sent in broker.enqueues for each in sent}
    assert len(set(ids)) == CALLERS
    assert len(broker.enqueues) < FEW


def test_coroutines_share_requests_and_their_loop_is_woken_once_for_all_of_them(
    broker: Gate,
) -> None:
    wakes: list[object] = []

    async def together(app: App) -> list[int]:
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def counted(*given: Any) -> asyncio.Handle:
            wakes.append(given)
            return wake(*given)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign,assignment]
        loop.call_later(0, broker.open.set)  # once all have called
        runs = await asyncio.gather(*(app.aenqueue("t", n) for n in range(CALLERS)))
        enqueued = len(wakes)
        values = await asyncio.gather(*(run.aresult() for run in runs))
        assert enqueued < FEW
        return values

    with App(broker.address) as app:
        assert asyncio.run(together(app)) == [VALUE] * CALLERS
    assert len(broker.enqueues) < FEW
    assert len(wakes) < 2 * FEW


def test_one_bad_call_among_many_fails_alone(broker: Gate) -> None:
    async def together(app: App) -> list[object]:
        calls = [app.named("t", id=f"{n}").aenqueue() for n in range(CALLERS)]
        calls.insert(CALLERS // 2, app.named("t", id="bad").aenqueue())
        asyncio.get_running_loop().call_later(0, broker.open.set)
        return list(await asyncio.gather(*calls, return_exceptions=True))

    with App(broker.address) as app:
        told = asyncio.run(together(app))
    (error,) = [each for each in told if isinstance(each, BaseException)]
    assert type(error) is ProtocolError
    assert told.index(error) == CALLERS // 2
