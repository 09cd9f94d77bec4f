"""What `raftwork dev` finds out about an App before its worker begins."""

import sys
from pathlib import Path

import pytest

from raftwork.cli.dev.child import queues

HERE = "127.0.0.1:7701"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a module `dev_tasks` that can be imported by this test alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "dev_tasks", raising=False)
    monkeypatch.setenv("RAFTWORK_BROKERS", HERE)
    return tmp_path / "dev_tasks.py"


def write(module: Path, app: str) -> None:
    tasks = "@app.task(queue='mail')\ndef send(): ...\n@app.task\ndef add(): ...\n"
    module.write_text(f"from raftwork import App\napp = {app}\n{tasks}")
    sys.modules.pop("dev_tasks", None)


def test_every_queue_that_a_task_names_is_served(
    module: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(module, "App()")
    assert queues("dev_tasks:app", HERE) == ["--queues", "default,mail"]
    assert capsys.readouterr().err == ""


def test_an_app_that_names_other_brokers_is_pointed_out(
    module: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(module, "App('10.0.0.5:7701')")
    assert queues("dev_tasks:app", HERE)
    assert "dev_tasks:app names its brokers itself (10.0.0.5:7701)" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["def", "app = 7", ""])
def test_what_is_no_app_is_left_to_the_worker_to_say(module: Path, text: str) -> None:
    module.write_text(text)
    assert queues("dev_tasks:app", HERE) == []
