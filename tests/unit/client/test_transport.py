"""The thread and the processes around a Session, against brokers that are not there.

Port 1 of loopback refuses every connection, so nothing here needs a broker or waits for one.
"""

import _thread
import asyncio
import errno
import os
import subprocess
import sys
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from raftwork import App, Run, Unavailable
from raftwork.client import threads
from raftwork.client import transport as module
from raftwork.client.result_registry import Handles, Slot
from raftwork.client.session import Output
from raftwork.features.enqueue import Enqueue
from raftwork.features.results import Watch
from raftwork.messages import Result, State
from raftwork.net import links
from raftwork.net.resolving import look_up
from tests.unit.client.broker import VALUE, Broker

NOBODY = "127.0.0.1:1"


def clients() -> list[int]:
    """The threads of connections."""
    return list(threads.running)


def wait_until_watched(app: App, run: Run[Any]) -> None:
    """Until the client's thread watches the run. Close the App before joining its callers."""
    deadline = time.monotonic() + 10
    while not (run.waiters and app._connection and app._connection.handles._watched):
        assert time.monotonic() < deadline, "the wait never reached the client's thread"
        time.sleep(0.001)


def test_nothing_is_started_before_it_is_needed() -> None:
    before = clients()
    with App(NOBODY):
        assert clients() == before


def test_without_brokers_a_call_is_unavailable_with_its_ids_in_order() -> None:
    with App(NOBODY, timeout=0.05) as app:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1: no connection") as raised:
            app.named("t").enqueue_many([(), ()], ids=["b", "a"])
        assert raised.value.ids == ("b", "a")
        with pytest.raises(Unavailable) as asked:
            app.run("t").status()
        assert asked.value.ids == ("t",)
        with pytest.raises(Unavailable):
            asyncio.run(app.aenqueue("t"))


def test_waiting_for_a_result_without_brokers_ends_with_its_own_timeout() -> None:
    with App(NOBODY, timeout=0.01) as app, pytest.raises(TimeoutError):
        app.run("t").result(timeout=0.05)


def test_several_threads_share_one_connection() -> None:
    before = len(clients())
    with App(NOBODY, timeout=0.05) as app, ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(app.enqueue, "t", i) for i in range(100)]
        assert all(isinstance(call.exception(), Unavailable) for call in calls)
        assert len(clients()) == before + 1


def test_closing_ends_the_thread_and_what_is_out() -> None:
    with ThreadPoolExecutor(2) as pool, App(NOBODY, timeout=60) as app:
        run = app.run("t")
        call, wait = pool.submit(app.enqueue, "t"), pool.submit(run.result)
        wait_until_watched(app, run)
        app.close()
        # A call that is just being handed over counts as out or as late.
        assert isinstance(call.exception(10), (Unavailable, RuntimeError))
        assert isinstance(wait.exception(10), (Unavailable, RuntimeError))
    with pytest.raises(RuntimeError, match="closed"):
        app.enqueue("t")
    app.close()


def test_a_wait_that_was_under_way_is_told_of_the_closing() -> None:
    app = App(NOBODY)
    run = app.run("t")
    waiter = app._connect().wait_for(run)
    app.close()
    with pytest.raises(Unavailable, match="closed"):
        waiter.result(10)


def test_an_app_that_is_dropped_takes_its_thread_along() -> None:
    app = App(NOBODY, timeout=0.01)
    with pytest.raises(Unavailable):
        app.enqueue("t")
    assert app._connection is not None
    ended = app._connection._ended
    del app
    assert ended.acquire(timeout=10)


def test_a_forked_child_makes_its_own_connection_and_leaves_the_parents_alone() -> None:
    with App(NOBODY, timeout=0.05) as app:
        with pytest.raises(Unavailable):
            app.enqueue("t")
        first = app._connection
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                app.enqueue("t")
            except Unavailable:
                code = 0 if app._connection is not first else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        with pytest.raises(Unavailable):
            app.enqueue("t")
        assert app._connection is first


def test_forked_children_make_other_ids() -> None:
    app = App(NOBODY)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, app.named("t")._batch([()], None, None).ids[0].encode())
        os._exit(0)
    os.waitpid(pid, 0)
    child = os.read(read, 100).decode()
    os.close(read)
    os.close(write)
    mine = app.named("t")._batch([()], None, None).ids[0]
    assert child[14:] != mine[14:]


@pytest.mark.parametrize(
    "ending",
    [
        "pass",
        "raise SystemExit(0)",
        "pid = os.fork(); pid and os.waitpid(pid, 0)",
        "threading.Thread(target=run.result, daemon=True).start()",
    ],
)
def test_a_program_that_never_closes_its_app_ends_quietly(ending: str) -> None:
    script = (
        "import os, sys, threading\n"
        "import raftwork\n"
        "assert 'zmq' not in sys.modules and 'asyncio' not in sys.modules\n"
        f"app = raftwork.App('{NOBODY}', timeout=0.01)\n"
        "run = app.run('t')\n"
        "try:\n    app.enqueue('t')\nexcept raftwork.Unavailable:\n    pass\n"
        f"{ending}\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_an_interrupt_ends_a_wait_in_the_main_thread() -> None:
    script = (
        "import os, signal, threading, raftwork\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored\n"
        f"run = raftwork.App('{NOBODY}').run('t')\n"
        "def interrupt():\n"
        "    while not run.waiters: pass\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=interrupt).start()\n"
        "try:\n    run.result()\nexcept KeyboardInterrupt:\n    print('interrupted')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr) == (b"interrupted\n", b"")


# ---- what fails in the thread -------------------------------------------------------------------

FULL = OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class Once:
    """In place of a function: raises so many times, then is the function."""

    def __init__(self, function: Callable[..., Any], error: BaseException, times: int = 1) -> None:
        self._function, self._error, self.times = function, error, times

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.times -= 1
        if self.times >= 0:
            raise self._error
        return self._function(*arguments, **named)


@pytest.mark.parametrize("place", ["pipe", "thread", "sockets"])
def test_a_connection_that_cannot_be_made_fails_the_call_and_not_the_next(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R7: the call hung, or the error was a bare OSError without the ids."""
    with App(NOBODY, timeout=0.05) as app:
        match place:
            case "pipe":
                monkeypatch.setattr(os, "pipe", Once(os.pipe, FULL))
            case "thread":
                start = Once(_thread.start_new_thread, RuntimeError("can't start new thread"))
                monkeypatch.setattr(_thread, "start_new_thread", start)
            case _:
                monkeypatch.setattr(module, "Links", Once(links.Links, FULL))
        expected = "can't start new thread" if place == "thread" else "Too many open files"
        with pytest.raises(Unavailable, match=expected) as raised:
            app.named("t").enqueue_many([(), ()], ids=["b", "a"])
        assert raised.value.ids == ("b", "a")
        with pytest.raises(Unavailable, match="no connection"):
            app.enqueue("t")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [FULL, ZeroDivisionError("a fault of ours")])
def test_a_thread_that_fails_ends_every_call_with_the_reason_and_is_replaced(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R7: every later call raised RuntimeError, this App is closed."""
    with ThreadPoolExecutor(2) as pool, App(NOBODY, timeout=60) as app:
        run = app.run("t")
        call, wait = pool.submit(app.enqueue, "t"), pool.submit(run.result)
        wait_until_watched(app, run)
        monkeypatch.setattr(module._Loop, "wait", Once(module._Loop.wait, error))
        expected = "Too many open files" if error is FULL else "a fault of ours"
        with pytest.raises(Unavailable, match=expected):
            app.enqueue("t")  # wakes it
        for each in (call, wait):
            failed = each.exception(10)
            assert isinstance(failed, Unavailable), failed
            assert expected in str(failed)
        monkeypatch.undo()
        app._timeout = 50
        for _ in range(2):
            with pytest.raises(Unavailable, match="no connection"):
                app.enqueue("t")
        with pytest.raises(TimeoutError):
            run.result(timeout=0.05)


def test_a_broker_whose_socket_cannot_be_opened_is_tried_again_and_ends_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "_AGAIN_MS", 20)
    with App(NOBODY, timeout=0.2) as app:
        monkeypatch.setattr(links, "Link", Once(links.Link, FULL, times=1_000_000))
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1: .*Too many open files"):
            app.enqueue("t")
        first = app._connection
        monkeypatch.undo()
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1: no connection"):
            app.enqueue("t")
        assert app._connection is first


def test_eventlets_threads_are_refused_at_once_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patcher = types.ModuleType("eventlet.patcher")
    patcher.is_monkey_patched = lambda module: module == "thread"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "eventlet.patcher", patcher)
    with App(NOBODY) as app, pytest.raises(RuntimeError, match=r"monkey_patch\(thread=False\)"):
        app.enqueue("t")


def test_what_is_to_be_asked_again_is_asked_before_the_thread_waits() -> None:
    """An UNKNOWN answers the waits that began before its question; the others ask anew."""
    read_fd, write_fd = os.pipe()
    sent: list[tuple[str, bytes]] = []
    watched: list[str] = []

    class Session:
        """One outcome to deliver, and what it leads to."""

        def __init__(self) -> None:
            self.outputs = [Output([], [], [], [Result("t", State.UNKNOWN, b"")])]

        def watch(self, ids: list[str], now: int) -> None:
            watched.extend(ids)
            self.outputs.append(Output([], [(NOBODY, b"watch")], [], []))

        def wake(self, now: int) -> None: ...

        def take(self) -> Output:
            return self.outputs.pop(0) if self.outputs else Output([], [], [], [])

        gathers = False

    handles = Handles()
    loop = module._Loop([NOBODY], handles, read_fd, look_up)
    try:
        (slot,) = handles.add(["t"], Slot)
        first, _ = handles.wait_for(slot)
        assert handles.watch(slot) == ["t"]
        late, _ = handles.wait_for(slot)
        loop._session = Session()  # type: ignore[assignment]
        loop._links.send = lambda *frame: not sent.append(frame)  # type: ignore[method-assign,func-returns-value]
        loop.send()
        assert (first.told, late.told) == (True, False)
        assert watched == ["t"]
        assert sent == [(NOBODY, b"watch")]
    finally:
        loop.close(None)
        os.close(read_fd)
        os.close(write_fd)


def test_who_waits_for_each_task_asks_for_its_outcome_with_the_enqueue() -> None:
    with Broker() as broker, App(broker.address) as app:
        for _ in range(20):
            assert app.enqueue("t").result(10) == VALUE
        watches = sum(isinstance(each, Watch) for each in broker.heard)
        together = sum(isinstance(each, Enqueue) and each.watch for each in broker.heard)
    # An outcome that overtakes its caller leaves the next one to be asked for: one in two at most.
    assert together >= 10
    assert watches <= 11


def test_who_waits_for_none_is_sent_no_outcome() -> None:
    with Broker() as broker, App(broker.address) as app:
        assert app.enqueue("t").result(10) == VALUE
        for _ in range(5):
            app.enqueue("t")
        heard = [each.watch for each in broker.heard if isinstance(each, Enqueue)]
    assert heard[0] is False
    # That of the first is; the next may be under way before it shows that nobody waits.
    assert sum(heard) <= 2
