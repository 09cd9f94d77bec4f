"""What `raftwork dev` does when a file changes, when a part ends, and at Ctrl-C."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from raftwork.cli.dev import supervisor
from raftwork.cli.dev.parts import Part, Process
from raftwork.cli.dev.supervisor import Changed, Supervisor, Told


class FakeProcess:
    """Ends at the first, or at the second SIGTERM."""

    def __init__(self, name: str, log: list[str], ended: Callable[[Process], None]) -> None:
        self.name, self._log, self._ended = name, log, ended
        self.code: int | None = None
        self.terms_left = 1

    def end(self, code: int) -> None:
        self.code = code
        self._ended(cast("Process", self))

    def stop(self) -> None:
        self._log.append(f"stop {self.name}")
        self.terms_left -= 1
        if not self.terms_left:
            self.end(0)

    def kill(self) -> None:
        if self.code is None:
            self._log.append(f"kill {self.name}")
            self.end(-9)


class FakePart:
    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self._log = name, log
        self.runs: list[FakeProcess] = []

    def start(
        self, ended: Callable[[Process], None], said: Callable[[str], None] | None = None
    ) -> FakeProcess:
        made = FakeProcess(f"{self.name}{len(self.runs) + 1}", self._log, ended)
        self._log.append(f"start {made.name}")
        self.runs.append(made)
        if said is not None:
            said("listening dev 127.0.0.1:7701")
        return made


class Scene:
    """A Supervisor whose events the test puts in before it runs, in their order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, watches: bool = True) -> None:
        monkeypatch.setattr(supervisor, "watch", lambda *_: watches)
        self.log: list[str] = []
        self.said: list[str] = []
        self.broker, self.worker = FakePart("broker", self.log), FakePart("worker", self.log)
        parts = cast("Part", self.broker), cast("Part", self.worker)
        self.supervisor = Supervisor(*parts, watched=[Path()], say=self.said.append)
        self._steps: list[Callable[[], object]] = []
        take = self.supervisor._next

        def next_event() -> object:
            if self.supervisor._events.empty() and self._steps:
                self._steps.pop(0)()
            return take()

        monkeypatch.setattr(self.supervisor, "_next", next_event)

    def then(self, step: Callable[[], object]) -> None:
        self._steps.append(step)

    def change(self) -> None:
        self.then(lambda: self.supervisor._events.put(Changed(("a.py",))))

    def ctrl_c(self) -> None:
        self.then(lambda: self.supervisor._events.put(Told()))


@pytest.fixture(params=[True])
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_the_worker_starts_once_the_broker_listens_and_ends_before_it(scene: Scene) -> None:
    scene.ctrl_c()
    assert scene.supervisor.run() == 0
    assert scene.log == ["start broker1", "start worker1", "stop worker1", "stop broker1"]


def test_a_change_brings_a_new_worker_while_the_old_one_finishes(scene: Scene) -> None:
    def busy() -> None:
        scene.worker.runs[-1].terms_left = 2

    scene.then(busy)
    scene.change()
    scene.change()
    scene.ctrl_c()
    assert scene.supervisor.run() == 0
    assert scene.log[2:6] == ["stop worker1", "start worker2", "stop worker1", "stop worker2"]
    assert scene.log[6] == "start worker3", "no more than one old worker is left to finish"


def test_a_worker_that_fails_waits_for_a_change(scene: Scene) -> None:
    scene.then(lambda: scene.worker.runs[-1].end(1))
    scene.change()
    scene.ctrl_c()
    assert scene.supervisor.run() == 0
    assert scene.log[:3] == ["start broker1", "start worker1", "start worker2"]
    assert "the worker ended with status 1; starts again when a file changes" in scene.said


def test_a_worker_that_fails_ends_all_where_no_file_is_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch, watches=False)
    scene.then(lambda: scene.worker.runs[-1].end(1))
    assert scene.supervisor.run() == 1
    assert scene.log[-1] == "stop broker1"
    assert any("pip install 'raftwork[dev]'" in line for line in scene.said)


def test_without_its_broker_it_ends(scene: Scene) -> None:
    scene.then(lambda: scene.broker.runs[-1].end(1))
    assert scene.supervisor.run() == 1
    assert scene.log == ["start broker1", "start worker1", "stop worker1"]


def test_a_second_ctrl_c_ends_all_at_once(scene: Scene) -> None:
    def busy_and_told_twice() -> None:
        scene.worker.runs[-1].terms_left = 9
        for _ in range(2):
            scene.supervisor._events.put(Told())

    scene.then(busy_and_told_twice)
    assert scene.supervisor.run() == 0
    assert scene.log[2:] == ["stop worker1", "kill worker1", "kill broker1"]


def test_what_does_not_finish_is_told_again_and_then_killed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_FINISH_S", 0.01)
    monkeypatch.setattr(supervisor, "_END_S", 0.01)
    scene.then(lambda: setattr(scene.worker.runs[-1], "terms_left", 9))
    scene.ctrl_c()
    assert scene.supervisor.run() == 0
    assert scene.log[2:] == ["stop worker1", "stop worker1", "stop broker1", "kill worker1"]


def test_a_python_file_that_changes_is_seen_and_no_other(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    seen: list[str] = []
    came = threading.Event()

    def changed(files: object) -> None:
        seen.extend(cast("list[str]", files))
        came.set()

    assert supervisor.watch([tmp_path], changed)
    for number in range(200):  # until it watches
        (tmp_path / "notes.txt").write_text(str(number))
        (tmp_path / "tasks.py").write_text(f"x = {number}")
        if came.wait(0.1):
            break
    assert {Path(path).name for path in seen} == {"tasks.py"}
