"""Servers of others as child processes, each in a directory of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.harness import ROOT

#: Where programs are besides $PATH: those of wheels beside our interpreter, RabbitMQ's own without
#: the wrapper that changes the user, and daemons where only root looks.
PLACES = (Path(sys.executable).parent, Path("/usr/lib/rabbitmq/bin"), Path("/usr/sbin"))

#: A server may take so long to answer for the first time, or again, on a busy machine (s).
START_S = 90


def find(program: str) -> str | None:
    """The path of this program, if it is here."""
    for place in PLACES:
        if (place / program).exists():
            return str(place / program)
    return shutil.which(program)


class Server:
    """A program in a process group of its own; both its outputs go to the file `log`.

    It is reaped only when its group has been killed: until then its pid is not reused, so that no
    signal from here can reach another process. The command's first word is looked for by `find`.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        directory: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.command = command
        self.directory = directory
        self._env = env or {}
        directory.mkdir(parents=True, exist_ok=True)
        self._popen = self._run()

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def _run(self) -> subprocess.Popen[bytes]:
        program, *arguments = map(str, self.command)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [find(program) or program, *arguments],
                cwd=self.directory,
                env=os.environ | self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return self._popen.returncode is None and os.waitid(os.P_PID, self.pid, flags) is None

    def kill(self) -> None:
        """SIGKILL to it and everything it started; returns once it has ended."""
        if self._popen.returncode is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._popen.wait()

    def restart(self) -> None:
        """Run the same command again, in the same directory."""
        self.kill()
        self._popen = self._run()

    def tail(self, lines: int = 20) -> str:
        text = self.log.read_text(errors="replace")
        return "\n".join(f"  {self.directory.name}| {each}" for each in text.splitlines()[-lines:])


@contextmanager
def running(servers: list[Server]) -> Iterator[list[Server]]:
    """Ends with the block whatever has been appended to `servers` by then."""
    try:
        yield servers
    finally:
        for server in servers:
            server.kill()


def until(
    condition: Callable[[], bool],
    servers: Sequence[Server],
    what: str,
    *,
    failures: tuple[type[Exception], ...] = (OSError,),
    within: float = START_S,
    every: float = 0.02,
) -> None:
    """Poll (each `every` s) until it holds; one of `failures` means not yet.

    Raises TimeoutError naming `what`, ChildProcessError if one of the servers ended; both with the
    ends of their logs.
    """
    deadline = time.monotonic() + within
    while True:
        with suppress(*failures):
            if condition():
                return
        late = time.monotonic() > deadline
        if late or not all(server.alive for server in servers):
            logs = "\n".join(server.tail() for server in servers)
            if late:
                raise TimeoutError(f"{what}: not within {within} s\n{logs}")
            raise ChildProcessError(f"{what}: a server has ended\n{logs}")
        time.sleep(every)


def path_to_bench() -> dict[str, str]:
    """The environment in which a worker, wherever it runs, finds the package `bench`."""
    there = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), there)))}
