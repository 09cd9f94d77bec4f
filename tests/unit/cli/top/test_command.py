"""`raftwork top` where it cannot be shown."""

import importlib.util
import subprocess
import sys

import pytest
from click.testing import CliRunner

from raftwork.cli import main


def test_without_the_extra_one_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "raftwork.cli.top.find_spec", lambda name: None if name == "textual" else found(name)
    )
    done = CliRunner().invoke(main, ["top"])
    assert done.exit_code == 1
    assert done.stderr == "Error: top needs more: pip install 'raftwork[top]'\n"


def test_without_a_terminal_it_says_what_needs_none() -> None:
    done = CliRunner().invoke(main, ["top"])
    assert done.exit_code == 2
    assert "raftwork status --watch" in done.stderr


def test_it_needs_nothing_of_the_extra_web() -> None:
    code = (
        "import sys; missing = 'starlette', 'uvicorn', 'prometheus_client'"
        "; sys.modules.update(dict.fromkeys(missing)); import raftwork.cli.top.screen"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
