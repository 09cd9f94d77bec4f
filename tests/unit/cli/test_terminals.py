"""Tables on terminals of several widths, and in a pipe: a crowded cluster stays readable (X9)."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import click
import pytest
from rich.cells import cell_len

from tests.unit.cli.crowded import BROKERS, DEAD, IDS, LONG, QUEUES, REASON, WIDE, WORKERS

ROOT = Path(__file__).parents[3]
ENV = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.unit.cli.crowded", *arguments]


def on_terminal(width: int, *arguments: str) -> list[str]:
    """The lines that a terminal of this width is given, without what makes them bold."""
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    process = subprocess.Popen(
        command(*arguments), stdin=inside, stdout=inside, stderr=inside, cwd=ROOT, env=ENV
    )
    os.close(inside)
    said = b""
    try:
        while part := os.read(terminal, 2**16):
            said += part
    except OSError:  # EIO: nobody holds the other end any more
        pass
    os.close(terminal)
    assert process.wait(timeout=30) == 0, said.decode()
    return click.unstyle(said.decode()).replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["status"], [*BROKERS, *BROKERS.values(), *WORKERS, *QUEUES]),
        (["queue", "list"], QUEUES),
        (["dead", "list"], [*IDS, *(task.name for task in DEAD), DEAD[3].retried_as]),
        (["dead", "show", "x"], [IDS[3], WIDE, DEAD[3].retried_as, LONG]),
    ],
    ids=["status", "queue list", "dead list", "dead show"],
)
def test_no_name_is_cut_and_no_table_is_wider_than_the_terminal(
    width: int, arguments: list[str], names: list[str]
) -> None:
    lines = on_terminal(width, *arguments)
    for name in names:
        assert any(name in line for line in lines), f"{name} is cut"
    if arguments == ["dead", "show", "x"]:
        return  # sentences
    for line in lines:
        # A name that is too long has a line of its own, which the terminal shows on two.
        alone = line.rpartition(": ")[2].strip(" ,")
        assert cell_len(line) <= width or (width == 40 and alone in (*names, *QUEUES)), line


def test_a_dead_task_takes_one_line_or_two() -> None:
    for width, name in ((80, "shop.orders.tasks.send_confirmation"), (120, "tasks.add")):
        lines = on_terminal(width, "dead", "list")
        id_ = next(task.id for task in DEAD if task.name == name)
        at = next(n for n, line in enumerate(lines) if line.startswith(id_))
        assert name in lines[at] + lines[at + 1]
        assert "ValueError: " in lines[at + 1]
        assert lines[at + 2].startswith("0199"), "the next one"


def test_what_is_left_out_first_is_what_matters_least() -> None:
    def header(width: int) -> str:
        return next(line for line in on_terminal(width, "status") if line.startswith("worker"))

    assert header(40).split() == ["worker", "running", "queues", "state"]
    assert header(80).split() == [*("worker", "pid", "running", "cpu", "memory", "queues", "state")]
    assert "host" in header(120)
    assert any(REASON in line for line in on_terminal(80, "status"))


@pytest.mark.parametrize("arguments", [["status"], ["queue", "list"], ["dead", "list"]])
def test_a_pipe_gets_every_column_and_one_line_a_row(arguments: list[str]) -> None:
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, cwd=ROOT, env=ENV, check=True
    )
    rows = {"status": 2 + 8 + 1 + 31 + 1 + 5, "queue": 5, "dead": 6}[arguments[0]]
    assert len(done.stdout.splitlines()) == rows
    words = {
        "status": ["host29.example.org", REASON, "unreachable"],
        "queue": [str(2**20), "lru"],
        "dead": [task.error for task in DEAD],
    }
    for word in words[arguments[0]]:
        assert word in done.stdout
    assert "\x1b" not in done.stdout
