"""`--log-config`: what a file says of logging, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from raftwork import logs
from raftwork.cli.logging_options import logging_options, logging_values, start_logging

TOML = """
version = 1
[handlers.all]
class = "raftwork.logs.Handler"
json_lines = true
[root]
level = "INFO"
handlers = ["all"]
"""
DOCUMENT = {
    "version": 1,
    "handlers": {"all": {"class": "raftwork.logs.Handler", "json_lines": True}},
    "root": {"level": "INFO", "handlers": ["all"]},
}
APP = """
from raftwork import App
app = App()
@app.task
def add(x, y): return x + y
@app.on_worker_start
def fail(): raise ValueError("no")
"""


@click.command()
@logging_options
def start() -> None:
    """A command that logs."""
    start_logging()
    click.echo(logging_values()["log_config"])


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("log.toml", "version = ", "cannot be read"),
        ("log.json", "[1]", "must have a table"),
        ("log.json", "{", "cannot be read"),
        ("log.json", "[" * 100_000, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_by_name(
    tmp_path: Path, name: str, text: str, why: str
) -> None:
    (tmp_path / name).write_text(text)
    refused = CliRunner().invoke(start, ["--log-config", str(tmp_path / name)])
    assert (refused.exit_code, why in refused.output, name in refused.output) == (2, True, True)


@pytest.mark.parametrize("name", ["log.toml", "log.json"])
def test_it_is_what_logging_is_given(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text(TOML if name == "log.toml" else json.dumps(DOCUMENT))
    given: list[object] = []
    monkeypatch.setattr(logs, "start", lambda *said: given.append(said))
    done = CliRunner().invoke(start, [], env={"RAFTWORK_LOG_CONFIG": str(tmp_path / name)})
    assert (done.exit_code, done.output.strip()) == (0, str(tmp_path / name))
    assert given == [("info", "text", DOCUMENT)]


def worker(directory: Path, code: int) -> str:
    """What one says on standard error that is told all by a file, and ends at once."""
    (directory / "tasks.py").write_text(APP)
    (directory / "conf.toml").write_text('[worker]\nlog-config = "log.toml"\n')
    done = subprocess.run(
        [sys.executable, "-m", "raftwork", "worker", "tasks:app", "--config", "conf.toml"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done
    return done.stderr


def test_what_logging_does_not_take_ends_the_start_in_words(tmp_path: Path) -> None:
    (tmp_path / "log.toml").write_text(TOML.replace("raftwork.logs", "nobody"))
    said = worker(tmp_path, 2)
    assert "log.toml is no configuration of logging" in said
    assert "No module named 'nobody'" in said
    assert "Traceback" not in said


def test_it_says_all_and_our_loggers_speak(tmp_path: Path) -> None:
    """`disable_existing_loggers` is on, as it is by default."""
    (tmp_path / "log.toml").write_text(TOML)
    first, last = [json.loads(line) for line in worker(tmp_path, 1).splitlines()]
    assert first["fields"]["event"] == "worker_started"
    assert "ValueError: no" in last["message"]


def test_a_program_with_handlers_of_its_own_keeps_them() -> None:
    code = """
import logging, sys
from raftwork import logs
own = logging.StreamHandler(sys.stdout)
logging.getLogger().addHandler(own)
logs.start_plain()
logs.start()
assert logging.getLogger().handlers == [own]
logging.getLogger().removeHandler(own)
logs.start_plain()
logs.start("debug")
(ours,) = logging.getLogger().handlers
assert isinstance(ours, logs.Handler) and logging.getLogger().level == logging.DEBUG
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
