"""`raftwork status --watch`: the same again and again, until it is enough."""

import json
import os
import pty
import sys
import time

import pytest
from click.testing import CliRunner

from raftwork.cli import main, output, status
from raftwork.client.overview import Overview
from tests.unit.cli.crowded import SEEN

HEADLESS = Overview(None, None, None, True, [], [], [])


@pytest.fixture(autouse=True)
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Overview]:
    """What is seen one after the other; then comes Ctrl-C. Time passes without being waited for."""
    seen = [SEEN, HEADLESS, SEEN]

    def observe(*_: object) -> Overview:
        if not seen:
            raise KeyboardInterrupt
        return seen.pop(0)

    monkeypatch.setattr(status, "observe", observe)
    return seen


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


def test_documents_are_one_a_line(slept: list[float]) -> None:
    done = CliRunner().invoke(main, ["status", "--watch", "--json"])
    assert done.exit_code == 0, "it has leaders come and go, and ends well"
    leaders = [json.loads(line)["leader"] for line in done.stdout.splitlines()]
    assert leaders == [SEEN.leader, None, SEEN.leader]
    assert all(1.5 < pause <= 2 for pause in slept)


def test_what_goes_to_a_file_follows_each_other(slept: list[float]) -> None:
    done = CliRunner().invoke(main, ["status", "--watch", "7"])
    assert done.exit_code == 0
    heads = [
        line for line in done.stdout.splitlines() if line.endswith("every 7 s; Ctrl-C ends it")
    ]
    assert len(heads) == 3
    assert "\x1b" not in done.stdout
    assert "no broker answers" in done.stderr
    assert all(6.5 < pause <= 7 for pause in slept)


def test_a_terminal_shows_the_latest_in_the_same_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal, inside = pty.openpty()
    with open(inside, "w", closefd=True) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert output.new_screen()
        monkeypatch.setenv("TERM", "dumb")
        assert not output.new_screen()
        monkeypatch.undo()
    said = b""
    try:
        while part := os.read(terminal, 2**16):
            said += part
    except OSError:  # EIO: nobody holds the other end any more
        pass
    os.close(terminal)
    assert said == b"\x1b[H\x1b[2J"


@pytest.mark.parametrize("pause", ["0", "-1", "nan", "soon"])
def test_a_pause_that_is_none_is_refused(pause: str) -> None:
    assert CliRunner().invoke(main, ["status", f"--watch={pause}"]).exit_code == 2
