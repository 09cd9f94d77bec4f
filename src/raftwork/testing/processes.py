"""Brokers and workers as child processes on this machine, for the demo and for tests.

Rules of this file:
1. Each child leads its own process group, and is reaped only when that group has been killed: until
   then its pid is not reused, so no signal from here can reach another process.
2. `close` leaves none of them behind, whatever state they are in.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self


def _environment() -> dict[str, str]:
    """Our environment without RAFTWORK_ variables: these processes are configured by flags."""
    others = ("RAFTWORK_BROKER_", "RAFTWORK_WORKER_", "RAFTWORK_CONFIG")
    return {name: value for name, value in os.environ.items() if not name.startswith(others)}


#: Ports that `free_addresses` has given in this process.
_given: set[int] = set()


class Child:
    """A `raftwork` command in a process of its own; both its outputs go to the file `log`.

    `module` is another module to run instead.
    """

    def __init__(
        self,
        name: str,
        arguments: list[str],
        cwd: Path,
        env: dict[str, str],
        module: str = "raftwork",
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.log = cwd / f"{name}.log"
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=cwd,
                env=_environment() | env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id of the command."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether the command still runs."""
        return self._ended() is None

    def signal(self, number: signal.Signals) -> None:
        """Signal the command's own process; nothing happens if it has ended."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to the command's own process; returns once it has ended."""
        self.signal(signal.SIGKILL)
        self.wait(timeout=60)

    def wait(self, timeout: float) -> int:
        """The exit code (negative: the signal). Raises TimeoutError with the log's end."""
        deadline = time.monotonic() + timeout
        while (code := self._ended()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} still runs after {timeout} s:\n{self.tail()}")
            time.sleep(0.002)
        return code

    def stop(self, timeout: float) -> int:
        """Send SIGTERM and return the exit code. Raises TimeoutError as `wait`."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill_group(self) -> None:
        """SIGKILL to the process and everything it started; then reap it. Repeating it is safe."""
        if self._popen.returncode is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._popen.wait()

    def _ended(self) -> int | None:
        if self._popen.returncode is not None:
            return self._popen.returncode
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(f"  {self.name}| {line}" for line in text.splitlines()[-lines:])


class LocalCluster:
    """Brokers with fixed addresses on loopback, and workers, all below one directory."""

    def __init__(
        self,
        directory: Path,
        *,
        names: tuple[str, ...] = ("a", "b", "c"),
        consensus: str = "raft",
        env: dict[str, str] | None = None,
        relative: bool = False,
    ) -> None:
        """With `relative`, brokers are given their directories relative to `directory`."""
        self.directory = directory
        self._relative = relative
        self.consensus = consensus
        self.addresses = dict(zip(names, free_addresses(len(names)), strict=True))
        #: The running or last process of each name.
        self.children: dict[str, Child] = {}
        self._env = env or {}
        self._all: list[Child] = []

    @property
    def brokers(self) -> str:
        """The addresses, as `--brokers` and App(brokers=…) take them."""
        return ",".join(self.addresses.values())

    def data(self, name: str) -> Path:
        """A broker's directory."""
        return self.directory / "data" / name

    def broker_arguments(self, name: str, *flags: str) -> list[str]:
        """The command line of the broker called `name`, without the program."""
        mapping = ",".join(f"{name}={address}" for name, address in self.addresses.items())
        data = self.data(name).relative_to(self.directory) if self._relative else self.data(name)
        return [
            *("broker", "--name", name, "--cluster", mapping, "--data", str(data)),
            *("--consensus", self.consensus),
            # All of it is thrown away: no full disk is to be prevented, nor ballast put aside. Each
            # of some hundred clusters that a run of tests keeps would take 192 MiB.
            *("--disk-reserve", "0"),
            *flags,
        ]

    def start_broker(self, name: str, *flags: str) -> Child:
        """Start the broker called `name`, which is one of `addresses`."""
        return self.start(name, self.broker_arguments(name, *flags))

    def start_worker(self, name: str, target: str, *flags: str) -> Child:
        """Start a worker of this cluster; `target` is MODULE:APP."""
        where = ("--brokers", self.brokers, "--name", name)
        return self.start(name, ["worker", target, *where, *flags])

    def start(self, name: str, arguments: list[str], env: dict[str, str] | None = None) -> Child:
        """Run any command; `name` labels it and its log, which continues across restarts."""
        child = Child(name, arguments, self.directory, self._env | (env or {}))
        self.children[name] = child
        self._all.append(child)
        return child

    def close(self) -> None:
        """Kill what still runs."""
        for child in self._all:
            child.kill_group()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def free_addresses(count: int) -> list[str]:
    """Unused loopback addresses, outside the range of ports for outgoing connections.

    Inside it, a peer that keeps trying to reach a killed broker would sooner or later be given the
    broker's own port as its source, connect to itself and keep the port taken. None is given twice
    by a process, nor by two of those among which pytest-xdist spreads tests: what is free may be a
    broker's that is started in a moment, or again after it was killed.
    """
    mine, of = _share_of_tests()
    candidates = list(range(10_000, min(_first_ephemeral_port(), 32_768)))[mine::of]
    random.shuffle(candidates)
    if len(_given) + count > len(candidates) // 2:
        _given.clear()  # the oldest of so many are no longer in use
    addresses: list[str] = []
    for port in candidates:
        if len(addresses) == count:
            return addresses
        with socket.socket() as probe, contextlib.suppress(OSError):
            if port not in _given:
                probe.bind(("127.0.0.1", port))
                _given.add(port)
                addresses.append(f"127.0.0.1:{port}")
    raise OSError("no free ports on 127.0.0.1")


def _share_of_tests() -> tuple[int, int]:
    """Which process of how many this is, where pytest-xdist runs tests in several."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    count = os.environ.get("PYTEST_XDIST_WORKER_COUNT", "")
    if not (worker.isdecimal() and count.isdecimal()):
        return 0, 1
    return int(worker) % max(1, int(count)), max(1, int(count))


def _first_ephemeral_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        return 32_768
