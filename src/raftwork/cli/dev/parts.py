"""The processes of `raftwork dev`, and how their lines come to the terminal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from raftwork.addresses import parse_address
from raftwork.cli.output import labelled

#: The name of the broker, and of the worker, in `raftwork status`.
NAME: Final = "dev"
#: What the environment says of other brokers and workers is not meant for these.
_OTHERS: Final = ("RAFTWORK_BROKER_", "RAFTWORK_WORKER_", "RAFTWORK_CONFIG")

#: Held while one is printed: lines of two processes are not to mix.
_line = threading.Lock()


class Part:
    """A command, and the process that runs it now. `ended` is called, in a thread, as it ends."""

    def __init__(self, name: str, colour: str, arguments: list[str], address: str) -> None:
        self.name = name
        self._colour = colour
        self._arguments = arguments
        # Unbuffered, each argument of a `print` would be written by itself, and what the worker
        # logs come in between. Both write line by line anyway.
        others = (*_OTHERS, "PYTHONUNBUFFERED")
        kept = {key: text for key, text in os.environ.items() if not key.startswith(others)}
        self._env = kept | {
            "RAFTWORK_BROKERS": address,
            # Of two edits within a second that leave a file's size, Python would run the first.
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def start(
        self, ended: Callable[[Process], None], said: Callable[[str], None] = lambda _line: None
    ) -> Process:
        """Run the command; `said` is given every line of it. Raises OSError."""
        popen = subprocess.Popen(
            # -P: a file of the user's called `queue.py` is not to hide Python's own.
            [sys.executable, "-P", "-m", "raftwork.cli.dev.child", *self._arguments],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C is for us alone
            text=True,
            errors="replace",
        )
        process = Process(self, popen)

        def read() -> None:
            assert popen.stdout is not None
            for line in popen.stdout:
                with _line:
                    labelled(self.name, self._colour, line.rstrip("\n"))
                said(line)
            popen.wait()
            popen.stdout.close()
            ended(process)

        threading.Thread(target=read, daemon=True, name=f"raftwork-dev-{self.name}").start()
        return process


class Process:
    """One run of a Part."""

    def __init__(self, part: Part, popen: subprocess.Popen[str]) -> None:
        self.part = part
        self._popen = popen

    @property
    def code(self) -> int | None:
        """Its exit code, once it has ended (negative: the signal)."""
        return self._popen.returncode

    def stop(self) -> None:
        """SIGTERM: the first asks it to finish, the second ends it at once."""
        self._popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to it and to what it started."""
        if self._popen.poll() is None:
            os.killpg(self._popen.pid, signal.SIGKILL)


def broker(address: str, data: Path, dashboard: str = "") -> Part:
    """The one broker of the cluster; `dashboard` is where it is to be served, if anywhere."""
    where = ("--cluster", f"{NAME}={address}", "--data", str(data), "--readdress")
    # It is alone: there is nobody to wait for, neither as it starts nor as it ends.
    alone = ("--election-timeout", "0.3", "--hand-over-timeout", "0")
    # Nobody develops on a disk that is for this broker: it is content with what a compaction takes.
    room = ("--disk-reserve", "64")
    shown = ("--http", dashboard) if dashboard else ()
    arguments = ["broker", "--name", NAME, *where, *alone, *room, *shown]
    return Part("broker", "magenta", arguments, address)


#: From the broker's port to that of the dashboard: 7701 has 7780.
_TO_DASHBOARD: Final = 79


class Dashboard(NamedTuple):
    """Where it is served; empty if it is not, and why."""

    address: str
    why: str = ""


def dashboard(address: str) -> Dashboard:
    """Beside the broker of that address."""
    if find_spec("uvicorn") is None:
        return Dashboard("", "it needs pip install 'raftwork[web]'")
    port = parse_address(address)[1] + _TO_DASHBOARD
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        return Dashboard("", f"127.0.0.1:{port} cannot be had: {_reason(error)}")
    return Dashboard(f"127.0.0.1:{port}")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def worker(app: str, address: str, flags: list[str]) -> Part:
    """The worker."""
    where = ("--brokers", address, "--name", NAME)
    return Part("worker", "cyan", ["worker", app, *where, *flags], address)
