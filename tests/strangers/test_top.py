"""`raftwork top` in a terminal of its own: what is seen, a failover, a change, and the end."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cluster.conftest import ODD_NAME
from tests.strangers.place import Place

TASKS = """
import os, time
from raftwork import App, current
app = App()

@app.task
def hold(path):
    while not os.path.exists(path):
        current().check()
        time.sleep(0.01)
"""
#: What moves the cursor, colours, or asks the terminal something.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_=>])")


class Terminal:
    """150 columns and 40 lines with a command in it."""

    def __init__(self, place: Place, command: str) -> None:
        self._place = place
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 150))
        self._before = termios.tcgetattr(theirs)
        self._said = ""
        os.set_blocking(self._ours, False)
        # What runs the tests may say a size of its own, which would stand before the terminal's.
        sized = {key: said for key, said in place.env.items() if key not in ("COLUMNS", "LINES")}
        self._popen = subprocess.Popen(
            command.split(),
            cwd=place.directory,
            env={**sized, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        self._theirs = theirs

    def see(self, *texts: str) -> None:
        """Wait until all were written since the last call: what is drawn together comes at once."""
        try:
            self._place.wait_until(lambda: set(texts) <= self._found(texts), f"{texts} to be seen")
        except AssertionError:
            print(self._read()[-6_000:])
            raise
        self._said = ""

    def _found(self, texts: Sequence[str]) -> set[str]:
        said = self._read()
        return {text for text in texts if text in said}

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def _read(self) -> str:
        with contextlib.suppress(BlockingIOError):
            self._said += os.read(self._ours, 65_536).decode(errors="replace")
        return _SEQUENCE.sub("", self._said)

    def ended(self) -> int:
        """The exit code; the terminal is again as it was."""
        self._place.wait_until(lambda: (self._read(), self._popen.poll() is not None)[1], "its end")
        assert termios.tcgetattr(self._theirs) == self._before
        return self._popen.wait()

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def close(self) -> None:
        self._popen.kill()
        self._popen.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Place]:
    """As `place`, with one protocol: what is shown is the same with either."""
    directory = tmp_path / ODD_NAME
    directory.mkdir()
    made = Place(directory, "raft")
    yield made
    made.close()


def test_a_terminal_shows_the_cluster_through_a_failover_and_cancels_what_runs(
    three: Place,
) -> None:
    three.write("tasks.py", TASKS)
    brokers = three.brokers()
    three.worker("--concurrency 1 --pool thread")
    task = three.sh("raftwork enqueue tasks.hold never").out.strip()
    terminal = Terminal(three, "raftwork top")
    try:
        terminal.see(" leads since ", task)
        leader = three.leader()
        brokers[leader].kill()
        successor = three.wait_until(lambda: three.status()["leader"], "another leader")
        terminal.see("2 of 3 brokers answer", f"{successor} leads since ")
        terminal.press("3c")
        terminal.see(f"Cancel tasks.hold {task}?")
        terminal.press("y")
        terminal.see("is asked to end")
        assert three.sh(f"raftwork result {task} --wait --timeout 60").code == 1
        assert "cancelled" in three.sh(f"raftwork result {task}").err
        terminal.press("q")
        assert terminal.ended() == 0
    finally:
        terminal.close()
    again = Terminal(three, "raftwork top")
    try:
        again.see(f"{successor} leads since ")
        again.signal(signal.SIGTERM)
        assert again.ended() == 0
    finally:
        again.close()
