"""Apps, tasks and handles copied and pickled."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from raftwork import App, BoundTask, Run, Task
from raftwork.client.transport import Connection
from tests.unit.client.cluster import FakeCluster

app = App("127.0.0.1:1", timeout=3)
cluster = FakeCluster()
app._connection = cast("Connection", cluster)


@app.task(queue="q")
def add(x: int, y: int) -> int:
    return x + y


def hidden(x: int) -> int:
    return x


other = app.task(name="other")(hidden)

WHAT = [app, add, add.options(queue="bulk", id="i"), other, app.named("far", key="k"), app.run("r")]


@pytest.mark.parametrize("what", WHAT, ids=repr)
def test_a_copy_is_the_thing_itself(what: object) -> None:
    assert copy.copy(what) is what
    assert copy.deepcopy([what])[0] is what


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_is_pickled_comes_back_as_the_same(protocol: int) -> None:
    assert pickle.loads(pickle.dumps(app, protocol)) is app
    assert pickle.loads(pickle.dumps(add, protocol)) is add
    assert pickle.loads(pickle.dumps(other, protocol)) is other
    run = pickle.loads(pickle.dumps(app.run("r"), protocol))
    assert isinstance(run, Run) and run == app.run("r")


@pytest.mark.parametrize("what", [add.options(queue="bulk", id="i", key="k"), app.named("far")])
def test_options_come_along(what: BoundTask[..., object]) -> None:
    again = pickle.loads(pickle.dumps(what))
    assert type(again) is type(what)
    assert repr(again) == repr(what)
    cluster.batches.clear()
    again.enqueue(1, 2)
    what.enqueue(1, 2)
    (one, _), (two, _) = cluster.batches
    assert one == two


def test_a_closed_app_comes_back_open() -> None:
    closed = App("127.0.0.1:2")
    closed.close()
    again = pickle.loads(pickle.dumps(closed))
    assert again is not closed
    assert again.brokers == closed.brokers


def test_another_process_gets_an_app_of_the_same_addresses_for_all(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(pickle.dumps([app, app.run("r"), app.run("s"), app.named("far", queue="z")]))
    script = (
        "import pickle, sys\n"
        "app, run, other, far = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(app.brokers, app.patience, run, other, far, run._app is far._app is app)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(data)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "('127.0.0.1:1',) 3.0 <Run r> <Run s> <BoundTask far queue='z'> True\n"


def test_what_is_shown_says_what_it_is() -> None:
    assert repr(add) == f"<Task {__name__}.add queue='q'>"
    assert (
        repr(add.options(timeout=2, id="i"))
        == f"<Task {__name__}.add queue='q' timeout=2.0 id='i'>"
    )
    assert repr(app.named("far", key="k")) == "<BoundTask far key='k'>"
    assert repr(app.dead()) == "<DeadTasks of all queues>"
    assert repr(app.dead("q")) == "<DeadTasks of q>"
    assert repr(app.queue("q")) == "<Queue q>"


def test_a_test_that_replaces_enqueue_replaces_it_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """X14: what .options(…) gave was of another class."""
    called: list[tuple[object, ...]] = []
    monkeypatch.setattr(Task, "enqueue", lambda self, *args: called.append(args))
    add.enqueue(1, 2)
    add.options(queue="bulk").enqueue(3, 4)
    app.enqueue(add.name, 5, 6)
    assert called == [(1, 2), (3, 4), (5, 6)]


def test_what_replaces_enqueue_of_one_task_is_carried_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[tuple[object, ...]] = []
    monkeypatch.setattr(add, "enqueue", lambda *args: called.append(args))
    add.options(queue="bulk").enqueue(3, 4)
    app.enqueue(add.name, 5, 6)
    assert called == [(3, 4), (5, 6)]


def test_a_task_under_other_options_is_a_task_still() -> None:
    changed = add.options(queue="bulk").options(retries=2)
    assert changed(1, 2) == 3
    assert (changed.chosen.queue, changed.chosen.retries, add.chosen.queue) == ("bulk", 2, "q")
