"""A child that says nothing any more is ended and started again; one that does is left alone."""

import os
import subprocess
from typing import cast

import pytest

from raftwork.net.tended_child import AGAIN_MS, SILENT_MS, TendedChild


class Child:
    """In place of a process that can be told to say something."""

    def __init__(self) -> None:
        ours, self._theirs = os.pipe()
        self.stdout = os.fdopen(ours, "rb", 0)
        self.returncode: int | None = None

    def beat(self) -> None:
        os.write(self._theirs, b".")

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.returncode = -9
        os.close(self._theirs)

    def wait(self) -> None:
        assert self.returncode == -9


class Tended:
    """Of which all is kept."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self.told: list[str] = []
        self.it = TendedChild(self._start, self.told.append)

    def _start(self) -> "subprocess.Popen[bytes]":
        self.children.append(Child())
        return cast("subprocess.Popen[bytes]", self.children[-1])


@pytest.fixture
def tended() -> Tended:
    return Tended()


def test_one_that_says_something_is_left_alone(tended: Tended) -> None:
    for now in range(0, 3 * SILENT_MS, SILENT_MS // 2):
        tended.it.tend(now)
        tended.children[0].beat()
    assert (len(tended.children), tended.told) == (1, [])
    tended.it.close()


def test_one_that_is_stopped_is_ended_and_started_again(tended: Tended) -> None:
    tended.it.tend(0)
    tended.children[0].beat()
    tended.it.tend(1_000)
    tended.it.tend(1_000 + SILENT_MS)
    assert tended.told == []
    tended.it.tend(1_001 + SILENT_MS)
    assert tended.told == ["it said nothing for 60 s"]
    assert tended.children[0].stdout.closed
    tended.it.tend(1_001 + SILENT_MS + AGAIN_MS)
    assert len(tended.children) == 2
    tended.it.tend(1_000 + 2 * SILENT_MS)
    assert tended.children[1].returncode is None, "its time begins with it"
    tended.it.close()


def test_what_came_while_nobody_looked_counts(tended: Tended) -> None:
    """Its broker may have been stopped, too, and for longer."""
    tended.it.tend(0)
    tended.children[0].beat()
    tended.it.tend(10 * SILENT_MS)
    assert tended.told == []
    tended.it.close()
