"""`--log-config`: what a file says of logging, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOML = """
version = 1
[handlers.file]
class = "raftwork.logs.Handler"
json_lines = true
[root]
level = "INFO"
handlers = ["file"]
"""
APP = """
from raftwork import App
app = App()
@app.task
def add(x, y): return x + y
@app.on_worker_start
def fail(): raise ValueError("no")
"""


def run(*arguments: str, cwd: Path, code: int) -> str:
    """What it says on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "raftwork", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done
    return done.stderr


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("log.toml", "version = ", "cannot be read"),
        ("log.json", "[1]", "must have a table"),
        ("log.json", "{", "cannot be read"),
        ("log.toml", "level = 'INFO'", "version"),
        (
            "log.toml",
            TOML.replace("raftwork.logs.Handler", "nobody.Handler"),
            "No module named 'nobody'",
        ),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_reason(
    tmp_path: Path, name: str, text: str, why: str
) -> None:
    (tmp_path / name).write_text(text)
    said = run("worker", "tasks:app", "--log-config", name, cwd=tmp_path, code=2)
    assert why in said
    assert name in said
    assert "Traceback" not in said


@pytest.mark.parametrize("form", ["toml", "json"])
def test_it_says_all_and_our_loggers_speak(tmp_path: Path, form: str) -> None:
    """Also by the file of --config; `disable_existing_loggers` is on, as it is by default."""
    document = {
        "version": 1,
        "handlers": {"h": {"class": "raftwork.logs.Handler", "json_lines": True}},
        "root": {"level": "INFO", "handlers": ["h"]},
    }
    (tmp_path / f"log.{form}").write_text(TOML if form == "toml" else json.dumps(document))
    (tmp_path / "tasks.py").write_text(APP)
    (tmp_path / "conf.toml").write_text(f'[worker]\nlog-config = "log.{form}"\n')
    said = run("worker", "tasks:app", "--config", "conf.toml", cwd=tmp_path, code=1)
    first, last = [json.loads(line) for line in said.splitlines()]
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
