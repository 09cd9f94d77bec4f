"""Clusters of real processes: real ZeroMQ on loopback, real files, real signals.

Nothing here sleeps for a fixed time: a test waits for a condition and says, when it does not come,
what it saw instead and how each process's log ended.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import psutil

from raftwork import App
from raftwork.client.overview import Overview, observe
from raftwork.testing.processes import Child, LocalCluster

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
#: Seconds; generous, as two cores may be shared with everything else: 30 were once not enough.
#: Nothing waits it out that works. `make teeth`, where nothing does, has less of it.
PATIENCE = float(os.environ.get("RAFTWORK_TEST_PATIENCE", "60"))
#: Seconds for which a broker that runs may say nothing at all, and be asked again.
SILENCE = 10.0


class Mark(NamedTuple):
    """What a test task left behind (tests/cluster/tasks.py)."""

    what: str
    task: str
    token: int
    attempt: int
    worker: str
    pid: int


class Finished(NamedTuple):
    """What a command of the CLI said."""

    code: int
    out: str
    err: str


def run_cli(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> Finished:
    """Run one `raftwork` command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "raftwork", *arguments],
        cwd=cwd,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


class Cluster:
    """Three brokers (or as many as `names`) and any workers, in a temporary directory."""

    def __init__(
        self,
        directory: Path,
        names: tuple[str, ...] = ("a", "b", "c"),
        *,
        consensus: str,
        worker_target: str = "tests.cluster.tasks:app",
        relative: bool = False,
    ) -> None:
        self.directory = directory
        self.names = names
        self._marks = directory / "marks"
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.env = {"PYTHONPATH": path, "RAFTWORK_TEST_MARKS": str(self._marks)}
        self.local = LocalCluster(
            directory, names=names, consensus=consensus, env=self.env, relative=relative
        )
        self.consensus = consensus
        self.brokers = self.local.brokers
        self.app = App(brokers=self.brokers, timeout=PATIENCE)
        self._worker_target = worker_target

    # ---- processes ----------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Child:
        """The running or last process of that name."""
        return self.local.children[name]

    def start(self, *names: str) -> None:
        """Start these brokers (default: all), and wait until they have a leader."""
        for name in names or self.names:
            self.local.start_broker(name)
        self.wait_for_leader()

    def start_worker(self, name: str = "w1", *flags: str, target: str = "") -> Child:
        """Start a worker and wait until the leader lists it as active."""
        child = self.local.start_worker(name, target or self._worker_target, *flags)

        def listed() -> bool:
            assert child.alive, f"{name} ended at its start\n{child.tail()}"
            return child.pid in self.worker_pids()

        self.wait_until(listed, f"{name} is listed as active")
        return child

    def kill(self, *names: str) -> None:
        """SIGKILL, all of them before any is waited for: a common power failure."""
        for name in names:
            self[name].signal(signal.SIGKILL)
        for name in names:
            self[name].kill()

    def pause(self, name: str) -> None:
        self[name].signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self[name].signal(signal.SIGCONT)

    def restart(self, *names: str) -> None:
        """Start brokers that have ended again; does not wait for anything."""
        for name in names:
            assert not self[name].alive, f"{name} still runs"
            self.local.start_broker(name)

    def trust_workers(self) -> None:
        """From now on no worker loses its tasks because this machine was too busy for its word.

        For tests of what runs once: of a silence of three seconds, as there are on a busy machine,
        it is right to run it again.
        """
        self.app.cluster.set(worker_lease=60, worker_reconnect=60)

    def close(self) -> None:
        """Kill everything, and look whether anything was left behind."""
        self.app.close()
        self.local.close()
        ours = f"RAFTWORK_TEST_MARKS={self._marks}"
        left = self.wait_for_none(lambda: [p for p in psutil.process_iter() if _has(p, ours)])
        assert not left, f"processes left behind: {left}"

    # ---- what is there ------------------------------------------------------------------------

    def see(self, *names: str) -> Overview:
        """What these brokers (default: all that live and are not paused) say of themselves.

        Whoever does not answer in the time that people are let wait is asked again for a while, as
        long as it could: on a busy machine that is no sign of anything.
        """
        deadline = time.monotonic() + SILENCE
        while True:
            asked = names or [name for name in self.names if self._runs(name)]
            assert asked, f"no broker runs\n{self.tails()}"
            seen = self._ask(asked)
            answers = (row.status for row in seen.brokers)  # in the order of the addresses
            silent = [name for name, status in zip(asked, answers, strict=True) if status is None]
            if not any(map(self._runs, silent)) or time.monotonic() > deadline:
                return seen

    def _ask(self, names: Iterable[str]) -> Overview:
        return observe(",".join(self.local.addresses[name] for name in names), follow=False)

    def _runs(self, name: str) -> bool:
        """Whether this broker lives and is not paused."""
        child = self.local.children.get(name)
        return child is not None and child.alive and not _stopped(child.pid)

    def led(self) -> Overview:
        """As `see`, at a moment when one of them leads; waits for that."""

        def seen() -> Overview | None:
            seen = self.see()
            return seen if seen.leader is not None else None

        return self.wait_until(seen, "a leader")

    def role(self, name: str) -> str | None:
        (row,) = self.see(name).brokers
        return row.status.role if row.status else None

    def applied(self, name: str) -> int:
        (row,) = self.see(name).brokers
        return row.status.applied if row.status else -1

    def goal(self) -> int:
        """What the leader has applied by now; waits for one."""
        seen = self.led()
        return next(r.status.applied for r in seen.brokers if r.status and r.name == seen.leader)

    def leader(self) -> str:
        """The present leader; waits for one."""
        return self.wait_for_leader()

    def ranks(self) -> tuple[str, list[str]]:
        """The present leader and the others; of one moment, between two there may be another."""
        leader = self.leader()
        return leader, [name for name in self.names if name != leader]

    def followers(self) -> list[str]:
        return self.ranks()[1]

    def worker_pids(self) -> set[int]:
        return {w.pid for w in self.see().workers if w.state == "active"}

    def reason(self, worker: str) -> str:
        """Why this worker is given less than it could take; empty if nothing is known of it."""
        return next((w.reason for w in self.see().workers if w.name == worker), "")

    def make_bad(self, how: str, what: str) -> None:
        """See `tests.cluster.tasks`."""
        Path(f"{self._marks}.{how}").write_text(what)

    def make_good(self, how: str) -> None:
        Path(f"{self._marks}.{how}").unlink()

    def marks(self, task: str | None = None, what: str | None = None) -> list[Mark]:
        """The marks so far, in order; of one task, of one kind."""
        text = self._marks.read_text() if self._marks.exists() else ""
        marks = [
            Mark(kind, id_, int(token), int(attempt), worker, int(pid))
            for kind, id_, token, attempt, worker, pid in (
                line.split(" ") for line in text.splitlines()
            )
        ]
        return [m for m in marks if task in (None, m.task) and what in (None, m.what)]

    # ---- waiting ------------------------------------------------------------------------------

    def wait_until(
        self, condition: Callable[[], T | None], what: str, within: float = PATIENCE
    ) -> T:
        """The condition's first true value. Fails with the logs' ends."""
        deadline = time.monotonic() + within
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within} s: {what}\n{self.story()}")
            time.sleep(0.01)
        return value

    def wait_for_leader(self, other_than: str | None = None, within: float = PATIENCE) -> str:
        def leads() -> str | None:
            leader = self.see().leader
            return leader if leader != other_than else None

        return self.wait_until(leads, f"a leader other than {other_than}", within)

    def wait_for_caught_up(self, name: str, within: float = PATIENCE) -> None:
        """Until `name` follows, or leads, and has applied all that the leader has by now."""
        goal = self.goal()
        self.wait_until(
            lambda: self.role(name) in ("follower", "leader") and self.applied(name) >= goal,
            f"{name} has caught up as a voter",
            within,
        )

    def wait_for_start(self, task: str, attempt: int = 1) -> Mark:
        """Until the task's code has begun for the `attempt`th time."""
        return self.wait_until(
            lambda: next((m for m in self.marks(task, "start") if m.attempt == attempt), None),
            f"attempt {attempt} of {task} has begun",
        )

    def story(self) -> str:
        """What the brokers say and how each log ended, for people."""
        alive = [name for name in self.names if self._runs(name)]
        said = json.dumps(self._ask(alive).document(), indent=1) if alive else "no broker runs"
        return f"{said}\n{self.tails()}"

    def tails(self) -> str:
        """How each log ended."""
        return "\n".join(child.tail() for child in self.local.children.values())

    @staticmethod
    def wait_for_none(look: Callable[[], list[T]], within: float = PATIENCE) -> list[T]:
        """What `look` still finds after at most `within` seconds."""
        deadline = time.monotonic() + within
        while (found := look()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return found

    def holds_for(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """The condition stays true: for promises that something never happens."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert condition(), f"no longer so: {what}\n{self.story()}"
            time.sleep(0.02)

    # ---- commands -----------------------------------------------------------------------------

    def cli(self, *arguments: str) -> Finished:
        """A command with `--brokers` of this cluster in its environment."""
        env = self.env | {"RAFTWORK_BROKERS": self.brokers}
        return run_cli(*arguments, cwd=self.directory, env=env)


def _stopped(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def _has(process: psutil.Process, variable: str) -> bool:
    name, _, value = variable.partition("=")
    try:
        return process.environ().get(name) == value
    except psutil.Error:
        return False
