"""From 0.2.0 to this release, one broker at a time, while tasks are enqueued and run.

The release before is the commit that the changelog names, out of this repository's history.
"""

import io
import itertools
import re
import subprocess
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import pytest

from raftwork import App, Unsupported
from raftwork.release import LEVELS
from tests.strangers.place import ROOT, Place

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
        self._app = App(brokers=list(place.addresses.values()))
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
            assert run.result(timeout=30) == count + 1
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

        with App(brokers=list(place.addresses.values())) as app:
            with pytest.raises(Unsupported, match=f"level {LEVELS.most}"):
                app.named("tasks.add", delay=0.1).enqueue(1, 2)
            finished = place.sh("raftwork upgrade finish")
            assert finished.code == 0, finished.err
            assert _levels(place).startswith(f"level {LEVELS.most}\n")
            assert app.named("tasks.add", delay=0.1).enqueue(1, 2).result(timeout=30) == 3
        traffic.goes_on(place, "the level is raised")


def _all_there(place: Place) -> bool:
    status = place.status()
    return status["leader"] and all(each["role"] != "unreachable" for each in status["brokers"])
