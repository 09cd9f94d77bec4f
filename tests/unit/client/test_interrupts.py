"""F3: what interrupts a call may call in its turn, and what ends a call leaves nothing behind.

A handler of a signal, a finalizer that the collector runs, KeyboardInterrupt: each may come between
any two bytecodes of any public call.
"""

import asyncio
import gc
import os
import random
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import pytest

from raftwork import App
from raftwork.client import threads
from tests.unit.client.broker import VALUE, Broker
from tests.unit.client.interrupts import everywhere

#: Seconds; what hangs, hangs for ever.
PATIENCE = 20.0


class Hung(BaseException):
    """A call did not come back."""


@contextmanager
def in_time(seconds: float = PATIENCE) -> Iterator[None]:
    """Ends what hangs in the main thread, whatever waits there for whatever."""

    def hung(signum: int, frame: FrameType | None) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, hung)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as made:
        yield made


def connected(broker: Broker) -> App:
    app = App(broker.address)
    app.enqueue("t")
    return app


CALLS: dict[str, Callable[[App], object]] = {
    "enqueue": lambda app: app.enqueue("t", 1),
    "enqueue_many": lambda app: app.named("t").enqueue_many([(1,), (2,)]),
    "result": lambda app: app.run("t").result(),
    "result within": lambda app: app.run("t").result(timeout=0),
    "status": lambda app: app.run("t").status(),
    "queue": lambda app: app.queue("q").settings(),
    "drain": lambda app: app.drain("w"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_handler_may_call_wherever_it_interrupts_a_call(name: str, broker: Broker) -> None:
    """Each in a step of its own, and the handler calls what needs most of the client."""
    call = CALLS[name]
    with connected(broker) as app:
        results: list[int] = []

        def handler() -> None:
            runs = app.named("u").enqueue_many([(1,), (2,)])
            results.extend(run.result() for run in [*runs, app.run("v")])
            call(app)

        for place in everywhere(handler, step=3):
            with in_time():
                place.run(lambda: call(app))
        assert len(results) > 100
        assert set(results) == {VALUE}


def test_a_handler_may_call_wherever_it_interrupts_the_first_call(broker: Broker) -> None:
    apps: list[App] = []

    def handler() -> None:
        apps[-1].enqueue("t").result()

    for place in everywhere(handler, step=5):
        with App(broker.address) as app, in_time():
            apps.append(app)
            place.run(lambda: apps[-1].enqueue("t").result())
    assert not threads.running


def test_a_handler_may_close_wherever_it_interrupts_a_call(broker: Broker) -> None:
    apps: list[App] = []

    def handler() -> None:
        apps[-1].close()

    for place in everywhere(handler, step=10):
        app = connected(broker)
        apps.append(app)
        with in_time(), suppress(RuntimeError):  # Unavailable is one of ours
            place.run(lambda: suppressed(lambda: apps[-1].enqueue("t").result()))
        app.close()
    assert not threads.running


def suppressed(call: Callable[[], object]) -> None:
    with suppress(Exception):
        call()


def test_a_handler_may_call_while_a_coroutine_does(broker: Broker) -> None:
    async def calls(app: App) -> None:
        run = await app.aenqueue("t")
        assert await run.aresult(timeout=5) == VALUE
        await run.astatus()

    with connected(broker) as app:
        for place in everywhere(lambda: app.enqueue("t").result(), step=7):
            with in_time():
                place.run(lambda: asyncio.run(calls(app)))


@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_anywhere_leaves_nothing_behind(name: str, broker: Broker) -> None:
    """KeyboardInterrupt is raised before any step; the next call works as if nothing was."""

    def handler() -> None:
        raise KeyboardInterrupt

    with connected(broker) as app:
        for place in everywhere(handler, step=3):
            with in_time():
                with suppress(KeyboardInterrupt):
                    place.run(lambda: CALLS[name](app))
                assert app.enqueue("t").result() == VALUE


def test_an_interrupt_of_the_first_call_leaves_nothing_behind(broker: Broker) -> None:
    def handler() -> None:
        raise KeyboardInterrupt

    for place in everywhere(handler, step=5):
        with App(broker.address) as app, in_time():
            with suppress(KeyboardInterrupt):
                place.run(lambda: app.enqueue("t"))
            assert app.enqueue("t").result() == VALUE


def test_signals_at_random_times_hold_up_nothing(broker: Broker) -> None:
    handled = 0
    rng = random.Random(3)

    def handler(signum: int, frame: FrameType | None) -> None:
        nonlocal handled
        handled += app.enqueue("u").result() == VALUE
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.0001, 0.004))

    stuck = threading.Timer(PATIENCE * 2, lambda: os.kill(os.getpid(), signal.SIGABRT))
    stuck.start()
    with connected(broker) as app:
        before = signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        try:
            until = time.monotonic() + 2
            while time.monotonic() < until or handled < 50:
                app.enqueue("t").result()
                app.named("t").enqueue_many([(n,) for n in range(50)])[-1].result()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            stuck.cancel()


def test_a_finalizer_in_the_clients_own_thread_is_refused_at_once(broker: Broker) -> None:
    with connected(broker) as app:
        errors: list[BaseException] = []

        def finalizer() -> None:
            for call in CALLS.values():
                try:
                    call(app)
                except RuntimeError as error:
                    errors.append(error)

        def in_its_thread(app: App) -> None:
            assert app._connection is not None
            loop_handles = app._connection.handles
            sweep = loop_handles.sweep

            def swept() -> list[str]:
                if not errors:
                    finalizer()
                return sweep()

            loop_handles.sweep = swept  # type: ignore[method-assign]

        in_its_thread(app)
        with in_time():
            app.enqueue("t").result()
        assert len(errors) == len(CALLS)
        assert all("finalizer" in str(error) for error in errors)


def test_a_finalizer_anywhere_else_may_call(broker: Broker) -> None:
    gc.collect()

    class Last:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            done.append(app.enqueue("t").result())

    done: list[int] = []
    with connected(broker) as app:

        def handler() -> None:
            Last()
            gc.collect()

        for place in everywhere(handler, step=60):
            with in_time():
                place.run(lambda: app.enqueue("t").result())
    assert len(done) > 5


def test_a_copy_forked_inside_a_call_is_told_so_and_may_call_anew(broker: Broker) -> None:
    """The handler forks, and the child goes on in the call that was interrupted."""
    children: list[int] = []

    def handler() -> None:
        with warnings.catch_warnings():  # as Python 3.12 does of any fork beside a thread
            warnings.simplefilter("ignore", DeprecationWarning)
            children.append(os.fork())

    with connected(broker) as app:
        mine = os.getpid()
        for place in everywhere(handler, step=60):
            children.clear()
            code = 1
            try:
                with in_time():
                    with suppress(RuntimeError, Exception):
                        place.run(lambda: app.enqueue("t").result())
                    code = 0 if app.enqueue("t").result() == VALUE else 2
            finally:
                if os.getpid() != mine:
                    os._exit(code)
            for child in children:
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
