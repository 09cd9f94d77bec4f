"""`raftwork broker`: what is refused before anything is opened."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from raftwork.cli import main


def test_an_empty_name_of_a_directory_is_not_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from `--data "$UNSET"`: the database went to wherever the shell was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("raftwork.broker.server.run_broker", lambda _options: 0)
    line = ["broker", "--name", "a", "--cluster", "a=127.0.0.1:1", "--data", ""]
    done = CliRunner().invoke(main, line)
    assert done.exit_code == 2
    assert "'--data': must not be empty" in done.output


@pytest.mark.parametrize(
    "command", ["broker --name a --cluster a=127.0.0.1:1 --data x", "worker t:a"]
)
def test_python_without_asserts_is_refused(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-O", "-m", "raftwork", *command.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "start it without -O and -OO, and unset PYTHONOPTIMIZE" in done.stderr
    assert not (tmp_path / "x").exists()
