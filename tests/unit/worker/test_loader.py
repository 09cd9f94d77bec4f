"""Finding the user's App."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raftwork.errors import LoadError
from raftwork.worker.loader import functions, load


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current directory for modules that are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


APP = """
class Task:
    def __init__(self, function): self.function = function
    def __call__(self): return "called"
class App: tasks = {"plain": lambda: "plain", "task": Task(lambda: "function")}
app = App()
number = 3
class numbers: tasks = {"one": 1}
"""
UNSPEAKABLE = """
class Mute(BaseException):
    def __str__(self): raise SystemExit(5)
    __traceback__ = property(lambda self: 1 / 0)
raise Mute
"""


def test_an_app_is_found_in_the_current_directory(here: Path) -> None:
    (here / "their_tasks.py").write_text(APP)

    registry = functions(load("their_tasks:app").tasks)

    assert {name: run() for name, run in registry.items()} == {
        "plain": "plain",
        "task": "function",
    }


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("no_such_module_here:app", "no_such_module_here"),
        ("not.there:app", r"No module named 'not'; start this where not.py is: here is /.*"),
        ("pkg.not_there:app", r"; start this where pkg/not_there.py is: here is /.*"),
        ("lacking_tasks:app", r"No module named 'not_installed' \(.*lacking_tasks.py:1\)$"),
        ("their_tasks:apple", "has no 'apple': write their_tasks:app$"),
        ("their_tasks:number", "is not an App but of type int: write their_tasks:app$"),
        ("their_tasks", "is not MODULE:APP.*write their_tasks:app$"),
        ("their_tasks.py:app", "write their_tasks:app$"),
        ("their_tasks.py", "write their_tasks:app$"),
        ("./their_tasks:app", "write their_tasks:app$"),
        ("./their_tasks.py:application", "write their_tasks:application$"),
        ("dir/their_tasks:app", "write dir.their_tasks:app$"),
        ("pkg/sub/__init__.py:app", "write pkg.sub:app$"),
        ("../there/tasks:app", "write tasks:app in the directory ../there$"),
        ("/srv/there/tasks.py:app", "write tasks:app in the directory /srv/there$"),
        (".tasks:app", "write tasks:app$"),
        ("their tasks:app", "write tasks:app$"),
        ("their_tasks:", "write their_tasks:app$"),
        ("", "write tasks:app$"),
        ("unspeakable_tasks:app", "cannot import 'unspeakable_tasks': Mute"),
        ("hostile_tasks:app", "cannot import 'hostile_tasks': KeyboardInterrupt"),
        ("broken_tasks:app", r"ZeroDivisionError: .*broken_tasks.py:1\)"),
        ("leaving_tasks:app", "SystemExit: 7"),
        ("queue:app", r"has no 'app'; it is the one of .*queue.py, which hides your queue.py"),
        ("time:app", "has no 'app'; it is the one of Python itself, which hides your time"),
        ("their_tasks:numbers", "is not an App but of type type"),
    ],
)
def test_what_is_wrong_with_a_target_is_said(here: Path, target: str, text: str) -> None:
    (here / "their_tasks.py").write_text(APP)
    (here / "broken_tasks.py").write_text("1 / 0")
    (here / "lacking_tasks.py").write_text("import not_installed")
    (here / "pkg").mkdir()
    (here / "pkg/__init__.py").write_text("")
    (here / "leaving_tasks.py").write_text("raise SystemExit(7)")
    (here / "queue.py").write_text(APP)
    (here / "time").mkdir()
    (here / "time/__init__.py").write_text(APP)
    (here / "hostile_tasks.py").write_text("def __getattr__(name): raise KeyboardInterrupt")
    (here / "unspeakable_tasks.py").write_text(UNSPEAKABLE)

    with pytest.raises(LoadError, match=text):
        load(target)


def test_a_current_directory_that_was_removed_is_none(here: Path) -> None:
    (here / "gone").mkdir()
    os.chdir(here / "gone")
    (here / "gone").rmdir()
    (here / "their_tasks.py").write_text(APP)
    sys.path.append(str(here))

    assert load("their_tasks:app").tasks
