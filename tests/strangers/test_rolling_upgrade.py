"""From 0.2.0 to this release: one broker at a time while tasks run, and a directory as it stands.

The release before is the commit that the changelog names, out of this repository's history.
"""

import io
import itertools
import re
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import pytest

from raftwork import App, TaskCancelled, TaskFailed, TaskLost, UnknownTask, Unsupported
from raftwork.release import LEVELS
from tests.cluster.conftest import ODD_NAME
from tests.strangers.place import PATIENCE, ROOT, Place

BEFORE = "0.2.0"

TASKS = """
from raftwork import App

app = App()

@app.task
def add(x, y):
    return x + y
"""


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the release before, to be put first on the path."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone: it needs the release before, which is in the history")
    if _git("rev-parse", "--is-shallow-repository").strip() == b"true":
        pytest.skip("a shallow clone: it needs the release before, which is in the history")
    named = re.search(
        rf"^## \[{BEFORE}\] .* commit (\w+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert named, f"the changelog names no commit of {BEFORE}"
    out = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(_git("archive", named[1], "src"))) as archive:
        archive.extractall(out, filter="data")
    return out / "src"


class _Traffic:
    """One task after another, each with its result, from a thread, until it is stopped."""

    def __init__(self, place: Place) -> None:
        self._app = App(brokers=list(place.addresses.values()), timeout=PATIENCE)
        self._over = threading.Event()
        self._done = 0
        self._pool = ThreadPoolExecutor(1)
        self._future = self._pool.submit(self._run)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pool.shutdown()
        self._app.close()

    def _run(self) -> None:
        for count in itertools.count():
            if self._over.is_set():
                return
            run = self._app.named("tasks.add", id=f"t{count}").enqueue(count, 1)
            assert run.result(timeout=60) == count + 1
            self._done = count + 1

    def goes_on(self, place: Place, when: str) -> None:
        """Waits for ten more. Raises what went wrong."""
        enough = self._done + 10
        place.wait_until(
            lambda: self._future.done() or self._done >= enough, f"tasks get results: {when}"
        )
        if self._future.done():
            self._future.result()


def _levels(place: Place) -> str:
    return place.sh("raftwork upgrade status").out


def test_brokers_are_upgraded_one_by_one_while_tasks_run_and_then_take_delays(
    place: Place, before: Path
) -> None:
    place.write("tasks.py", TASKS)
    place.env["PYTHONPATH"] = str(before)
    brokers = place.brokers()
    place.worker()
    assert _levels(place).startswith("level 1\n")
    del place.env["PYTHONPATH"]

    with _Traffic(place) as traffic:
        traffic.goes_on(place, "all are of the release before")
        for name in place.addresses:
            assert brokers[name].stop() == 0
            brokers[name] = place.broker(name)
            place.wait_until(lambda: _all_there(place), f"{name} is back, of today")
            traffic.goes_on(place, f"{name} is of today")
        place.worker(name="w2")

        with App(brokers=list(place.addresses.values()), timeout=PATIENCE) as app:
            with pytest.raises(Unsupported, match=f"level {LEVELS.most}"):
                app.named("tasks.add", delay=0.1).enqueue(1, 2)
            finished = place.sh("raftwork upgrade finish")
            assert finished.code == 0, finished.err
            assert _levels(place).startswith(f"level {LEVELS.most}\n")
            assert app.named("tasks.add", delay=0.1).enqueue(1, 2).result(timeout=60) == 3
        traffic.goes_on(place, "the level is raised")


def _all_there(place: Place) -> bool:
    status = place.status()
    return status["leader"] and all(each["role"] != "unreachable" for each in status["brokers"])


# ---- a directory with tasks in every state ------------------------------------------------------

STATES = """
import os, time
from raftwork import App, current

app = App()

@app.task
def add(x, y):
    return x + y

@app.task
def hold(path):
    while not os.path.exists(path):
        time.sleep(0.01)
    return path

@app.task
def fail(text):
    if current().attempt == 1:
        with open("failed", "a") as file:
            print(text, file=file)
        raise ValueError(text)
    return current().attempt
"""


@pytest.fixture
def old(tmp_path: Path, consensus: str, before: Path) -> Iterator[Place]:
    """A place with one broker of the release before, and a worker, which stays."""
    directory = tmp_path / ODD_NAME
    directory.mkdir()
    made = Place(directory, consensus, names="a")
    made.write("tasks.py", STATES)
    made.env["PYTHONPATH"] = str(before)
    yield made
    made.close()


def _fill(place: Place, app: App) -> dict[str, str]:
    """Tasks in every state, by their ids: what their status is."""

    def named(name: str, id_: str, *args: object, **options: Any) -> None:
        app.named(f"tasks.{name}", id=id_, **options).enqueue(*args)

    fragile = place.worker("--pool thread --queues fragile", name="w2")
    named("hold", "lost", "never", queue="fragile", delivery="at_most_once")
    named("add", "queued", 1, 2, queue="nobody")
    named("hold", "runs", "go")
    named("add", "succeeded", 3, 4)
    named("add", "forgotten", 5, 6, result_ttl=0.1)
    named("fail", "failed", "for good")
    named("fail", "retried", "soon", retries=1, backoff=5)
    named("fail", "delayed", "much later", retries=1, backoff=3600, max_backoff=3600)
    known = {
        "queued": "queued",
        "runs": "running",
        "succeeded": "succeeded",
        "forgotten": "succeeded",
        "failed": "failed",
        "delayed": "queued",
    }
    place.wait_until(lambda: str(app.run("lost").status()) == "running", "the other worker has it")
    fragile.kill()
    known["lost"] = "lost"
    tried = place.directory / "failed"
    place.wait_until(
        lambda: tried.exists() and len(tried.read_text().splitlines()) == 3, "three have failed"
    )
    place.wait_until(lambda: _statuses(app, known) == known, "all are as they should be")
    place.wait_until(lambda: _is_forgotten(app), "a result is forgotten")
    return known


def _statuses(app: App, known: dict[str, str]) -> dict[str, str]:
    return {id_: str(app.run(id_).status()) for id_ in known}


def _is_forgotten(app: App) -> bool:
    try:
        app.run("forgotten").result(timeout=PATIENCE)
    except UnknownTask:
        return True
    return False


def _check(place: Place, app: App, known: dict[str, str]) -> None:
    """Each task is what it was under the release before."""
    assert _statuses(app, known) == known
    assert app.run("succeeded").result(timeout=PATIENCE) == 7
    assert _is_forgotten(app)
    with pytest.raises(TaskFailed, match="for good") as failure:
        app.run("failed").result(timeout=PATIENCE)
    assert failure.value.type == "ValueError"
    assert "Traceback" in failure.value.traceback
    with pytest.raises(TaskLost):
        app.run("lost").result(timeout=PATIENCE)
    assert {dead.id for dead in app.dead().list()} == {"failed", "lost"}
    counts = place.status()["queues"]
    assert (counts["nobody"]["queued"], counts["fragile"]["lost"]) == (1, 1)

    def default() -> tuple[int, int]:
        counts = place.status()["queues"]["default"]
        return counts["running"], counts["failed"]

    # "retried" comes due while this looks: for a moment it runs beside "runs".
    place.wait_until(lambda: default() == (1, 1), "one runs and one has failed")


def test_a_directory_with_tasks_in_every_state_is_served_as_it_stands(old: Place) -> None:
    place = old
    broker = place.brokers()["a"]
    place.worker("--pool thread --concurrency 4")
    with App(brokers=list(place.addresses.values()), timeout=PATIENCE) as app:
        known = _fill(place, app)
        assert broker.stop() == 0
        del place.env["PYTHONPATH"]
        place.broker("a")
        place.wait_until(lambda: place.status()["leader"], "today's broker leads")
        place.wait_until(
            lambda: place.status()["queues"]["default"]["running"], "the worker is back"
        )
        _check(place, app, known)
        finished = place.sh("raftwork upgrade finish")
        assert finished.code == 0, finished.err
        _check(place, app, known)

        # Each goes on from where it stood, and the new level's options take effect.
        assert app.run("retried").result(timeout=60) == 2
        assert app.run("delayed").info().due is not None
        assert app.run("delayed").cancel()
        with pytest.raises(TaskCancelled):
            app.run("delayed").result(timeout=PATIENCE)
        place.write("go", "")
        assert app.run("runs").result(timeout=60) == "go"
        place.worker("--queues nobody", name="w3")
        assert app.run("queued").result(timeout=60) == 3
        (again,) = app.dead().retry("failed")
        with pytest.raises(TaskFailed, match="for good"):
            again.result(timeout=60)
        assert app.named("tasks.add", queue="nobody", unique="k").enqueue(1, 1).result(60) == 2
