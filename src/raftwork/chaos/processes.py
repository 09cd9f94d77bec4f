"""The processes that faults hit, identified beyond doubt. Linux only.

Rules of this file:
1. A broker is the process that holds the lock of its data directory; `broker.pid` only says where
   to look. A pid file left behind by a kill may name an unrelated process by now.
2. A process is held by a pidfd before it is identified and signalled through it, so that its pid
   cannot become another's in between.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from raftwork.broker.store.identity import load_identity
from raftwork.client.overview import Overview, observe


class Process:
    """A running process, held by a pidfd: signals through it reach no other."""

    def __init__(self, name: str, pid: int) -> None:
        """Raises ProcessLookupError."""
        self.name = name
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def signal(self, number: signal.Signals) -> None:
        """Nothing happens if the process has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._fd, number)

    def wait(self, timeout: float) -> None:
        """Until it has ended. Raises TimeoutError."""
        if not select.select([self._fd], [], [], timeout)[0]:
            raise TimeoutError(f"{self.name} ({self.pid}) still runs after {timeout} s")

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return not select.select([self._fd], [], [], 0)[0]

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):
            os.close(self._fd)


class Command:
    """How a process was started, taken while it runs, to start it again after its end."""

    def __init__(self, process: Process) -> None:
        info = psutil.Process(process.pid)
        self._arguments = info.cmdline()
        self._cwd = info.cwd()
        self._env = info.environ()
        self._outputs = [_reopen(process.pid, number) for number in (1, 2)]

    def start(self) -> subprocess.Popen[bytes]:
        """A new process of the same command, writing to where the old one wrote."""
        out, err = self._outputs
        try:
            return subprocess.Popen(
                self._arguments,
                cwd=self._cwd,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        finally:
            os.close(out)
            os.close(err)


def _reopen(pid: int, number: int) -> int:
    try:
        return os.open(f"/proc/{pid}/fd/{number}", os.O_WRONLY | os.O_APPEND)
    except OSError:  # a socket, or closed
        return os.open(os.devnull, os.O_WRONLY)


class Brokers:
    """All brokers of one cluster with data directories in, or one level below, `directories`.

    Raises ValueError if there are none, or of several clusters.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        self._directories: dict[str, Path] = {}
        mappings: set[tuple[tuple[str, str], ...]] = set()
        for directory in directories:
            for path in (directory, *directory.glob("*/"), *directory.glob("data/*/")):
                if (identity := load_identity(path)) is not None:
                    self._directories[identity.name] = path
                    mappings.add(tuple(identity.addresses.items()))
        if len(mappings) != 1:
            places = ", ".join(map(str, directories))
            what = "directories of several clusters" if mappings else "no broker's data directory"
            raise ValueError(f"{what} in {places}")
        self.addresses = dict(mappings.pop())

    @property
    def text(self) -> str:
        """The addresses, as `--brokers` and App(brokers=…) take them."""
        return ",".join(self.addresses.values())

    def see(self) -> Overview:
        """The cluster as its brokers describe it now."""
        return observe(self.text)

    def directory(self, name: str) -> Path:
        """The data directory of the broker called `name`."""
        return self._directories[name]

    def running(self) -> dict[str, Process]:
        """The brokers that run, by name."""
        found = {name: open_broker(name, path) for name, path in self._directories.items()}
        return {name: process for name, process in found.items() if process is not None}


def open_broker(name: str, directory: Path) -> Process | None:
    """The process that has this data directory open, if there is one and its pid file names it."""
    try:
        process = Process(name, int((directory / "broker.pid").read_text()))
        lock = (directory / "lock").stat().st_ino
    except (OSError, ValueError, OverflowError):
        return None
    return process if process.alive and _holds_lock(process.pid, lock) else None


def _holds_lock(pid: int, inode: int) -> bool:
    # 1: FLOCK  ADVISORY  WRITE 708 fe:01:131090 0 EOF
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[1] == "FLOCK" and fields[4] == str(pid) and fields[5].endswith(f":{inode}"):
            return True
    return False


def open_workers(brokers: Brokers) -> list[Process]:
    """The active workers on this machine: listed by the leader and connected to a broker."""
    found = []
    for worker in brokers.see().workers:
        if worker.state != "active" or worker.host != socket.gethostname():
            continue
        with suppress(OSError):
            process = Process(worker.name, worker.pid)
            if process.alive and _is_connected(worker.pid, brokers.addresses.values()):
                found.append(process)
    return found


def _is_connected(pid: int, addresses: Collection[str]) -> bool:
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    # Connections without another end have an empty address.
    remotes = {":".join(map(str, connection.raddr)) for connection in connections}
    return not remotes.isdisjoint(addresses)
