"""`raftwork_app`: tasks as a cluster runs them, without one, and when the test says so."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from raftwork import (
    App,
    AppClosed,
    NotSerializable,
    QueueFull,
    Reject,
    Status,
    TaskCancelled,
    TaskFailed,
    Unavailable,
    UnknownTask,
    current,
)
from raftwork.testing import virtual_app
from raftwork.testing.virtual_app import VirtualApp, installed

app = App("127.0.0.1:1", timeout=1.0)
ran: list[object] = []


@dataclass
class Order:
    day: date


@app.task(name="note")
def note(what: object) -> object:
    ran.append(what)
    return what


@app.task(name="where", queue="elsewhere")
def where(what: object) -> list[object]:
    index, count = current().shard or (None, None)
    return [what, current().worker, index, count]


@app.task(name="flaky", retries=3, backoff=60, max_backoff=600)
def flaky(fails: int) -> int:
    if current().attempt <= fails:
        raise ValueError(f"attempt {current().attempt}")
    return current().attempt


@app.task(name="parent", queue="parents")
def parent(n: int) -> int:
    noted = note.enqueue(n).result(timeout=5)
    assert isinstance(noted, int)
    return noted + 1


@app.task(name="aparent", queue="parents")
async def aparent(n: int) -> list[int]:
    runs = [await adouble.aenqueue(n), await adouble.aenqueue(n + 1)]
    return [await run.aresult(timeout=60) for run in runs]


@app.task(name="adouble", delay=30)
async def adouble(n: int) -> int:
    await asyncio.sleep(0)
    return 2 * n


@app.task(name="ship")
def ship(order: Order) -> Order:
    assert type(order) is Order
    return Order(order.day + timedelta(days=1))


@pytest.fixture
def virtual() -> Iterator[VirtualApp]:
    ran.clear()
    with installed() as made:
        yield made


def test_tasks_run_when_the_test_says_so(virtual: VirtualApp) -> None:
    runs = [note.enqueue("a"), app.enqueue("note", "b"), *note.enqueue_many([("c",), ("d",)])]
    assert [run.status() for run in runs] == [Status.QUEUED] * 4
    assert ran == []
    assert virtual.run_until_idle() == 4
    assert ran == ["a", "b", "c", "d"]
    assert [run.result(timeout=0) for run in runs] == ran
    assert virtual.run_until_idle() == 0


def test_who_waits_for_a_result_has_it_run(virtual: VirtualApp) -> None:
    assert note.enqueue("x").result(timeout=1) == "x"
    assert parent.enqueue(4).result() == 5
    assert aparent.enqueue(4).result() == [8, 10], "coroutines that wait for delayed ones"


def test_a_retry_waits_for_its_time(virtual: VirtualApp) -> None:
    run = flaky.enqueue(2)
    assert virtual.run_until_idle() == 1
    assert run.status() is Status.QUEUED
    assert virtual.advance(59) == 0
    assert virtual.advance(30) == 1
    began = virtual.now
    assert virtual.advance(3600) == 1
    assert run.result() == 3
    assert virtual.now - began == timedelta(hours=1)
    errors = [each.error for each in run.info().attempts]
    assert errors == ["ValueError: attempt 1", "ValueError: attempt 2", None]


@pytest.mark.parametrize("when", [{"every": 60}, {"cron": "* * * * *", "overlap": "skip"}])
def test_a_schedule_ticks_at_each_of_its_instants(
    virtual: VirtualApp, when: dict[str, Any]
) -> None:
    made: list[tuple[datetime | None, datetime]] = []

    @app.task(name="tick")
    def tick() -> None:
        made.append((current().tick, virtual.now))

    app.schedules.create("minutely", tick, **when)
    assert virtual.advance(3600) == 60
    ticks = [tick for tick, _ in made if tick is not None]
    assert {b - a for a, b in pairwise(ticks)} == {timedelta(minutes=1)}
    assert all(tick == at for tick, at in made), "each at its own time"
    assert app.schedules.get("minutely").counts.fired == 60
    app.schedules.pause("minutely")
    assert virtual.advance(600) == 0


def test_what_a_rate_holds_back_runs_at_each_of_its_instants(virtual: VirtualApp) -> None:
    at: list[datetime] = []

    @app.task(name="slow", limits=["slow"])
    def slow() -> None:
        at.append(virtual.now)

    app.limits.set("slow", rate="1/m")
    slow.enqueue_many([()] * 4)
    virtual.advance(600)
    assert {b - a for a, b in pairwise(at)} == {timedelta(minutes=1)} and len(at) == 4


def test_a_wait_without_end_ends_though_schedules_tick_for_ever(
    virtual: VirtualApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.schedules.create("minutely", note, every=60, args=("tick",))
    app.queue("elsewhere").pause()
    monkeypatch.setattr(virtual_app, "TICKS_MAX", 100)
    with pytest.raises(TimeoutError):
        where.enqueue("never").result()
    assert len(ran) >= 100


def test_what_fails_for_good_fails_as_in_a_cluster(virtual: VirtualApp) -> None:
    run = flaky.enqueue(9)
    with pytest.raises(TaskFailed, match="attempt 4") as told:
        run.result()
    assert told.value.traceback.count("File ") == 1, "of the task's code alone"

    @app.task(name="reject", retries=5)
    def reject() -> None:
        raise Reject("never")

    with pytest.raises(TaskFailed, match="never"):
        reject.enqueue().result(timeout=0.001)
    assert [dead.id for dead in app.dead().list()][-1] == run.id


def test_order_is_that_of_priority_and_then_of_time(virtual: VirtualApp) -> None:
    note.enqueue("usual")
    note.options(priority=-5).enqueue("late")
    note.options(priority=5).enqueue("soon")
    virtual.run_until_idle()
    assert ran == ["soon", "usual", "late"]


def test_timers_are_those_of_a_cluster(virtual: VirtualApp) -> None:
    later = note.options(at=virtual.now + timedelta(hours=2)).enqueue("later")
    expires = note.options(expires=60, delay=30).enqueue("expires")
    app.queue("default").pause()
    assert virtual.advance(7200) == 0
    app.queue("default").resume()
    assert virtual.run_until_idle() == 1
    assert ran == ["later"] and later.status() is Status.SUCCEEDED
    with pytest.raises(TaskCancelled, match="expired"):
        expires.result()


def test_time_begins_now_and_jumps(virtual: VirtualApp) -> None:
    assert abs(virtual.now - datetime.now(UTC)) < timedelta(minutes=5)
    before = virtual.now
    virtual.advance(timedelta(days=400))
    assert virtual.now - before == timedelta(days=400)
    assert note.enqueue(1).result() == 1


def test_a_wait_ends_with_its_timeout_in_virtual_time(virtual: VirtualApp) -> None:
    run = note.options(delay=100).enqueue("x")
    before = virtual.now
    with pytest.raises(TimeoutError, match="within 60"):
        run.result(timeout=60)
    assert virtual.now - before == timedelta(seconds=60)
    assert run.result(timeout=60) == "x"


def test_a_wait_for_what_never_comes_ends(virtual: VirtualApp) -> None:
    app.queue("default").pause()
    with pytest.raises(TimeoutError):
        note.enqueue("x").result()
    with pytest.raises(UnknownTask):
        app.run("nobody").result()


def test_a_unique_key_and_a_cancellation(virtual: VirtualApp) -> None:
    first = note.options(unique="k").enqueue(1)
    again = note.options(unique="k").enqueue(2)
    assert again.existing and again.id == first.id
    assert first.cancel()
    assert virtual.run_until_idle() == 0
    with pytest.raises(TaskCancelled):
        first.result()
    assert [info.name for info in app.runs(state="cancelled")] == ["note"]


def test_arguments_are_packed_and_checked(virtual: VirtualApp) -> None:
    with pytest.raises(NotSerializable):
        note.enqueue(object())
    assert note.enqueue((1, 2)).result() == [1, 2]
    assert ship.enqueue(Order(date(2027, 1, 1))).result() == Order(date(2027, 1, 2))


def test_what_came_is_listed_with_its_arguments(virtual: VirtualApp) -> None:
    ship.enqueue(Order(date(2027, 1, 1)))
    parent.enqueue(n=3)
    virtual.run_until_idle()
    assert [(each.name, each.queue) for each in virtual.enqueued()] == [
        ("ship", "default"),
        ("parent", "parents"),
        ("note", "default"),
    ]
    (shipped,) = virtual.enqueued("ship")
    assert shipped.args == (Order(date(2027, 1, 1)),)
    assert shipped.run.status() is Status.SUCCEEDED
    (called,) = virtual.enqueued("parent")
    assert (called.args, called.kwargs) == ((), {"n": 3})
    assert virtual.enqueued("other") == []


def test_a_task_knows_itself_in_its_threads_and_leaves_notes(virtual: VirtualApp) -> None:
    seen: list[object] = []

    @virtual.task(name="knows", retries=1, backoff=0)
    def knows() -> object:
        run = virtual.run(current().id)
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(lambda: current().id).result())
        current().progress(0.5, "half")
        seen.append(run.progress())
        if current().checkpointed is None:
            for n in range(3):
                current().checkpoint(n)
            raise ValueError
        seen.append(run.status())
        return current().checkpointed

    run = knows.enqueue()
    assert run.result() == 2
    assert seen[0] == run.id
    assert getattr(seen[1], "text", "") == "half"
    assert seen[-1] is Status.RUNNING


def test_a_running_task_is_asked_to_end(virtual: VirtualApp) -> None:
    @virtual.task(name="cancels")
    def cancels() -> None:
        assert virtual.run(current().id).cancel()
        current().check()

    with pytest.raises(TaskCancelled):
        cancels.enqueue().result()


def test_threads_may_enqueue_meanwhile(virtual: VirtualApp) -> None:
    @virtual.task(name="spreads")
    def spreads() -> list[object]:
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda n: note.enqueue(n).result(), range(8)))

    assert spreads.enqueue().result() == list(range(8))
    threads = [threading.Thread(target=note.enqueue, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert virtual.run_until_idle() == 8


def test_a_thread_that_a_test_left_neither_fails_the_next_test_nor_goes_on() -> None:
    """It was an error of SQLite's at the end of the test, or the thread enqueued for ever."""
    ended: list[BaseException] = []

    def go_on(app: App, begun: threading.Event) -> None:
        try:
            while True:
                app.named("t.add").enqueue_many([(1,)] * 200)
                begun.set()
        except AppClosed as error:
            ended.append(error)

    with installed() as app:
        begun = threading.Event()
        thread = threading.Thread(target=go_on, args=(app, begun))
        thread.start()
        assert begun.wait(30)
    thread.join(30)
    assert "the test that this App belonged to is over" in str(ended)
    with pytest.raises(AppClosed, match="is over"):  # as for a thread that was not asking just then
        app.named("t.add").enqueue(1)


def test_time_does_not_pass_while_other_code_runs(virtual: VirtualApp) -> None:
    """It jumped by a day, past the end of results, when a machine was slow."""
    begun, ends = threading.Event(), threading.Event()

    @virtual.task(name="slow")
    def slow() -> str:
        begun.set()
        ends.wait(30)
        return "done"

    before, run = virtual.now, slow.enqueue()
    thread = threading.Thread(target=virtual.run_until_idle)
    thread.start()
    begun.wait(10)
    timer = threading.Timer(0.2, ends.set)
    timer.start()
    assert run.result() == "done"
    thread.join()
    assert virtual.now - before < timedelta(seconds=1)


def test_inside_an_event_loop_too(virtual: VirtualApp) -> None:
    async def test() -> None:
        run = await aparent.aenqueue(1)
        assert await run.aresult(timeout=120) == [2, 4]
        assert await (await note.aenqueue("x")).aresult() == "x"

    asyncio.run(test())


def test_a_broadcast_is_for_the_one_worker_that_there_is(virtual: VirtualApp) -> None:
    flow = where.broadcast(7).enqueue()
    assert ran == []
    virtual.advance(60)
    assert flow.result() == [[7, "raftwork_app", 0, 1]]


def test_a_full_queue_is_full(virtual: VirtualApp) -> None:
    app.queue("default").set(max_length=1)
    note.enqueue(1)
    with pytest.raises(QueueFull):
        note.enqueue(2)
    note.options(when_full="wait").enqueue(3)
    assert ran == [1]


def test_hooks_are_called(virtual: VirtualApp) -> None:
    seen: list[object] = []
    virtual.on_task_start(lambda: seen.append(current().name))
    virtual.on_task_end(lambda outcome: seen.append(outcome.ok))
    virtual.task(name="hooked")(lambda: None).enqueue().result()
    assert seen == ["hooked", True]


def test_tasks_without_end_are_stopped(
    virtual: VirtualApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virtual_app, "TASKS_MAX", 20)

    @virtual.task(name="endless")
    def endless() -> None:
        endless.enqueue()

    endless.enqueue()
    with pytest.raises(RuntimeError, match="20 tasks ran, and there are more"):
        virtual.run_until_idle()


def test_afterwards_apps_are_as_they_were() -> None:
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit
    with installed():
        run = note.enqueue("x")
        with App("127.0.0.1:1") as other:
            other.enqueue("note", "y")
        with pytest.raises(AppClosed):
            other.enqueue("note", "z")
    assert threading.Thread.start is start and ThreadPoolExecutor.submit is submit
    with pytest.raises(Unavailable):
        note.options(id="later").enqueue("x")
    with installed(), pytest.raises(UnknownTask):
        run.status()


def test_each_test_begins_empty(virtual: VirtualApp) -> None:
    assert virtual.enqueued() == []
    assert app.runs() == []


def test_the_plugin_itself_imports_next_to_nothing() -> None:
    heavy = {"apsw", "zmq", "asyncio", "psutil", "rich", "click", "raftwork.broker"}
    code = f"import sys, pytest, raftwork.testing; print(*{heavy} & sys.modules.keys())"
    before = "import sys, pytest; print(*{'asyncio'} & sys.modules.keys())"
    done = [
        subprocess.run([sys.executable, "-c", each], check=True, capture_output=True, text=True)
        for each in (code, before)
    ]
    assert done[0].stdout == done[1].stdout


def test_without_pytest_the_package_needs_none() -> None:
    code = "import sys, raftwork.testing.processes; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
