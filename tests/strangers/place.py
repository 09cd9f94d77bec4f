"""A stranger's place: a directory of their own, and what they type in it.

Commands go through a shell as people write them: with the installed `raftwork`, relative paths, and
a current directory whose name has a space, a `%`, a `#` and an umlaut.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import psutil

from raftwork.client.overview import observe
from raftwork.testing.processes import free_addresses

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
#: Seconds; nothing that works waits it out.
PATIENCE = float(os.environ.get("RAFTWORK_TEST_PATIENCE", "60"))
#: Seconds for which brokers may all say nothing, and be asked again.
SILENCE = 10.0
#: In the environment of everything that is started here, so that what is left behind is found.
MARK = "RAFTWORK_TEST_PLACE"


#: A block of code: its language, the file it is to be put into if it says one, and its text.
_BLOCK = re.compile(r"```(\w+)(?: title=\"([\w./]+)\")?\n(.*?)```", re.DOTALL)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """The blocks of code in a page of the documentation: language, file or "", text."""
    found: list[tuple[str, str, str]] = _BLOCK.findall((ROOT / "docs" / page).read_text())
    return found


class Finished(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


class Background:
    """A command that goes on; what it prints goes to the file `log`."""

    def __init__(self, popen: "subprocess.Popen[bytes]", log: Path) -> None:
        self._popen = popen
        self.log = log

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def code(self) -> int | None:
        """The exit code, once it has ended (negative: the signal)."""
        return self._popen.poll()

    @property
    def text(self) -> str:
        """What it printed so far, both outputs."""
        return self.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to the command's own process; returns once it has ended."""
        self._popen.kill()
        self._popen.wait(PATIENCE)

    def stop(self) -> int:
        """SIGTERM, then the exit code."""
        self._popen.terminate()
        return self._popen.wait(PATIENCE)

    def kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()


class Place:
    """A directory, the addresses of brokers that may be started, and all that was started here."""

    def __init__(
        self,
        directory: Path,
        consensus: str,
        names: str = "abc",
        prefix: tuple[str, ...] = (),
    ) -> None:
        """`prefix` is put before every command."""
        self.directory = directory
        self.prefix = prefix
        self.consensus = consensus
        self.addresses = dict(zip(names, free_addresses(len(names)), strict=True))
        self.mapping = ",".join(f"{name}={at}" for name, at in self.addresses.items())
        bin_ = str(Path(sys.executable).parent)
        self.env = {
            **os.environ,
            "PATH": os.pathsep.join((bin_, os.environ["PATH"])),
            "RAFTWORK_BROKERS": ",".join(self.addresses.values()),
            "CLUSTER": self.mapping,
            MARK: str(directory),
        }
        self._all: list[Background] = []

    def write(self, name: str, text: str) -> Path:
        """A file of the stranger's."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def sh(self, command: str, *, stdin: str = "", within: float = PATIENCE * 2) -> Finished:
        """Run a line of shell to its end."""
        done = subprocess.run(
            [*self.prefix, "bash", "-c", command],
            cwd=self.directory,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def start(self, command: str, name: str = "background") -> Background:
        """Run a line of shell, one command, in the background (`exec` is put before it)."""
        path = self.directory / f"{name}.log"
        with path.open("ab") as log:
            popen = subprocess.Popen(
                [*self.prefix, "bash", "-c", f"exec {command}"],
                cwd=self.directory,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        background = Background(popen, path)
        self._all.append(background)
        return background

    def broker(self, name: str, flags: str = "") -> Background:
        """As the README starts one: a relative directory."""
        return self.start(
            f'raftwork broker --name {name} --cluster "$CLUSTER" --data data/{name}'
            f" --consensus {self.consensus} {flags}",
            name,
        )

    def brokers(self) -> dict[str, Background]:
        """All of them, started; waits for a leader."""
        started = {name: self.broker(name) for name in self.addresses}
        self.leader()
        return started

    def worker(self, flags: str = "", target: str = "tasks:app", name: str = "w1") -> Background:
        """A worker, started; waits until it is listed as active."""
        started = self.start(f"raftwork worker {target} --name {name} {flags}", name)

        def listed() -> bool:
            assert started.code is None, started.text
            active = [w["name"] for w in self.status()["workers"] if w["state"] == "active"]
            return name in active

        self.wait_until(listed, f"{name} is listed as active")
        return started

    def status(self) -> dict[str, Any]:
        """What `raftwork status --json` prints: those who wait ask for it again and again.

        If no broker answers at all it is asked for again for a while: on a busy machine, in the
        time that people are let wait, that is no sign of anything.
        """
        deadline = time.monotonic() + SILENCE
        while True:
            document = self._status()
            answer = any(row["role"] != "unreachable" for row in document["brokers"])
            if answer or time.monotonic() > deadline:
                return document

    def _status(self) -> dict[str, Any]:
        brokers = self.env.get("RAFTWORK_BROKERS")
        if brokers is not None and not self.prefix:  # a process each time takes a CPU by itself
            text = json.dumps(observe(brokers).document())
        else:
            done = self.sh("raftwork status --json")
            text = done.out
            assert text, done
        document: dict[str, Any] = json.loads(text)
        return document

    def leader(self, other_than: str | None = None) -> str:
        """Who leads; waits for one. That nobody answered in time is not that nobody leads."""

        def leads() -> str | None:
            leader: str | None = self.status()["leader"]
            return leader if leader != other_than else None

        return self.wait_until(leads, f"a leader other than {other_than}")

    def trust_workers(self) -> None:
        """See Cluster.trust_workers."""
        done = self.sh("raftwork cluster set worker_lease=60 worker_reconnect=60")
        assert done.code == 0, done

    def wait_until(
        self, condition: Callable[[], T | None], what: str, within: float = PATIENCE
    ) -> T:
        """The condition's first true value. Fails with the logs' ends."""
        deadline = time.monotonic() + within
        while not (value := condition()):
            if time.monotonic() > deadline:
                tails = "\n".join(f"--- {b.log.name}\n{b.text[-2_000:]}" for b in self._all)
                raise AssertionError(f"not within {within} s: {what}\n{tails}")
            time.sleep(0.02)
        return value

    def close(self) -> None:
        """Kill everything, and look whether anything was left behind."""
        for background in self._all:
            background.kill_group()
        deadline = time.monotonic() + PATIENCE
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.02)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        assert not left, f"processes left behind: {left}"

    def _left(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and process.environ().get(MARK) == str(self.directory):
                    found.append(process)
        return found
