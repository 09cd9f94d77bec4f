"""The runbooks work as printed: docs/operations/*.md, each block of commands, on one keyed cluster.

The units of deploy/systemd are what runs; a `systemctl` of our own (systemctl.py) starts them.
Paths of the system are in the test's directory, and the three machines are this one.
"""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from raftwork import App, QueueFull, Run
from raftwork.broker.options import DISK_RESERVE_BYTES
from tests.strangers.place import ROOT, Finished, Place

PAGES = ROOT / "docs" / "operations"
_BLOCK = re.compile(r"```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)```", re.DOTALL)
#: Blocks that change the machine itself.
NOT_RUN = {"bash"}
DISK_BYTES = 4 << 30

TASKS = """
from raftwork import App
app = App()

@app.task
def add(x, y):
    return x + y
"""

#: A broker's clock, wrong for as long as the file is there: for that process alone.
CLOCK = """
import os, sys, time
if "broker" in sys.argv and "c" in sys.argv:
    real, file = time.time_ns, {file!r}
    time.time_ns = lambda: real() + (-90_000_000_000 if os.path.exists(file) else 0)
"""


class Machine:
    """A place in which units run, and the pages, adapted to it."""

    def __init__(self, directory: Path) -> None:
        self.place = place = Place(directory, "raft")
        self.directory = directory
        for path in ("bin", "units", "etc/raftwork", "var/lib/raftwork", "app", "wrong"):
            (directory / path).mkdir(parents=True)
        place.write("app/tasks.py", TASKS)
        place.write("wrong/sitecustomize.py", CLOCK.format(file=str(directory / "wrong/clock")))
        for unit in (ROOT / "deploy" / "systemd").glob("*.service"):
            place.write(f"units/{unit.name}", self.adapted(unit.read_text()))
        self._command("systemctl", f"{ROOT}/tests/strangers/systemctl.py")
        (directory / "bin" / "chronyc").write_text(f"#!/bin/sh\nrm {directory}/wrong/clock\n")
        (directory / "bin" / "chronyc").chmod(0o755)
        place.env["PATH"] = f"{directory}/bin:{place.env['PATH']}"
        place.env["UNITS"] = str(directory / "units")
        place.env["PYTHONPATH"] = str(directory / "wrong")

    def _command(self, name: str, script: str) -> None:
        path = self.directory / "bin" / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
        path.chmod(0o755)

    def adapted(self, text: str) -> str:
        """What stands for this test where a page, or a unit, says where."""
        for name, address in self.place.addresses.items():
            text = text.replace(f"{name}.example:7701", address)
        for path in ("/etc/raftwork", "/var/lib/raftwork"):
            text = text.replace(path, f"{self.directory}{path}")
        bin_ = Path(sys.executable).parent
        text = text.replace("/opt/raftwork/bin", str(bin_))
        return text.replace("/opt/raftwork-app", f"{self.directory}/app")

    def blocks(self, page: str) -> dict[str, str]:
        """The commands of a page, by their titles; its files are written."""
        found = {}
        for language, title, text in _BLOCK.findall((PAGES / f"{page}.md").read_text()):
            if language == "toml":
                self.place.write(self.adapted(title), self.adapted(text))
            elif language not in NOT_RUN:
                assert language == "sh", (page, language)
                found[title] = self.adapted(text)
        return found

    def run(self, text: str, *, code: int | None = 0) -> Finished:
        """A block, as it is typed: it ends with the first command that fails."""
        done = self.place.sh(f"set -e\n{text}", within=120)
        assert code is None or done.code == code, (text, done)
        return done

    def page(self, name: str) -> None:
        """Every block of it, in order."""
        for text in self.blocks(name).values():
            self.run(text)

    def logs(self) -> str:
        """What every unit has said."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-1_500:]}"
            for path in sorted((self.directory / "units").glob("*.log"))
        )

    def close(self) -> None:
        try:
            self.place.sh("systemctl stop '*'", within=120)
        finally:
            self.place.close()


class Load:
    """Enqueues all the time while it is entered; all that was acknowledged must have its result."""

    def __init__(self, machine: Machine) -> None:
        self.app = App(list(machine.place.addresses.values()), timeout=30)
        self._task, self._over = self.app.named("tasks.add"), threading.Event()
        self._runs: list[tuple[Run[object], int]] = []
        self._error: BaseException | None = None
        self.refused = ""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def _run(self) -> None:
        number = 0
        while not self._over.wait(0.01):
            number += 1
            try:
                self._runs.append((self._task.enqueue(number, 1), number + 1))
            except QueueFull as error:
                self.refused = str(error)
            except BaseException as error:  # noqa: BLE001 - it is raised where the test looks
                self._error = error
                return

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "an enqueue takes twice as long as it may"
        with self.app:
            if kind is None:
                assert self._error is None, self._error
                assert self._runs
                within = time.monotonic() + 60  # all of them, not each
                values = [run.result(max(0.1, within - time.monotonic())) for run, _ in self._runs]
                assert values == [value for _, value in self._runs]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine(tmp_path / "machine")
    mounted = _mount(made.directory)
    made.place.env["DISK"] = "small" if mounted else ""
    if (
        mounted
    ):  # with a disk of their own, brokers keep as much of it free as they say by themselves
        del made.place.env["RAFTWORK_BROKER_DISK_RESERVE"]
    monkeypatch.setenv("RAFTWORK_KEY", f"{made.directory}/etc/raftwork/ops.key")
    try:
        yield made
        print(made.logs())
    finally:
        try:
            made.close()
        finally:
            if mounted:
                where = made.directory / "var/lib/raftwork"
                subprocess.run(["umount", "-l", where], check=True, timeout=60)


def _mount(directory: Path) -> bool:
    """Whether the brokers' directories are on a disk of their own, which takes rights."""
    image, where = directory / "disk", directory / "var/lib/raftwork"
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    with suppress(OSError, subprocess.SubprocessError):
        quiet = {"check": True, "capture_output": True, "timeout": 60}
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], **quiet)  # type: ignore[call-overload]
        subprocess.run(["mount", "-o", "loop", image, where], **quiet)  # type: ignore[call-overload]
        return True
    return False


@pytest.mark.timeout(600)
def test_the_runbooks_work_as_printed(machine: Machine) -> None:
    _install(machine)
    with Load(machine):
        machine.page("rolling-restart")
    rotate = machine.blocks("rotate-a-key")
    with Load(machine):
        for title, text in rotate.items():
            if title.startswith("worker"):
                machine.run(text)
    # Programs, too, are started again with their refreshed files.
    for title, text in rotate.items():
        if title.startswith("broker"):
            machine.run(text)
    machine.page("leaked-key")
    _bad_clock(machine)
    with Load(machine) as load:
        _lost_minority(machine)
        assert load.refused == ""
    if machine.place.env["DISK"]:
        with Load(machine) as load:
            _full_disk(machine, load)


def _install(machine: Machine) -> None:
    blocks = machine.blocks("install")
    machine.run(blocks["keys"])
    for each in (*machine.directory.glob("*.key"), machine.directory / "access.toml"):
        each.rename(machine.directory / "etc/raftwork" / each.name)
    assert "name" in machine.run(blocks["check"]).out
    # Each on its own machine: none waits for the others.
    with ThreadPoolExecutor() as machines:
        list(machines.map(machine.run, blocks["start"].splitlines()))
    for line in blocks["environment"].splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        machine.place.env[name] = value
    machine.place.wait_until(lambda: machine.place.sh("raftwork status").code == 0, "a leader")
    # A doctor that finds an error exits 1, and disks of machines that run tests may be slow.
    seen = machine.run(f"set +e\n{blocks['look']}", code=None).out
    assert "leader" in seen and "disk-sync" in seen, seen
    assert machine.run(blocks["use"]).out.endswith("3\n")


def _bad_clock(machine: Machine) -> None:
    (machine.directory / "wrong" / "clock").touch()
    blocks = machine.blocks("bad-clock")
    seen = machine.run(blocks["see"]).out
    # 90 s, and as long as its answer took to come.
    assert re.search(r"that of c is 1 min (29|3\d) s behind", seen), seen
    assert "the brokers' clocks agree" in machine.run(blocks["set it"]).out


def _lost_minority(machine: Machine) -> None:
    machine.run("systemctl stop raftwork-broker@c")
    blocks = machine.blocks("lost-minority")
    seen = machine.run(blocks["see"])
    assert "c of 3 brokers do not answer" in seen.out
    assert "a may be stopped" in machine.run(blocks["replace"]).out


def _full_disk(machine: Machine, load: Load) -> None:
    blocks = machine.blocks("full-disk")
    load.app.named("tasks.add", queue="bulk").enqueue_many([(1, 2)] * 1_000)
    disk = machine.directory / "var/lib/raftwork"
    free = DISK_RESERVE_BYTES // 2
    machine.run(
        f"fallocate -l $(($(df --output=avail -B1 {disk} | tail -n 1) - {free})) {disk}/fill"
    )
    machine.place.wait_until(lambda: load.refused, "new tasks are refused")
    assert "512 MiB must be" in load.refused
    seen = machine.run(f"set +e\n{blocks['see']}")
    assert re.search(r"error +disks +a has \d+ MiB free, \d+ MiB must be", seen.out), seen.out
    assert "fill" in seen.out
    assert "tasks dropped from bulk: 1000" in machine.run(blocks["purge"]).out
    refused = machine.run(blocks["again"], code=1)
    assert "QueueFull" in refused.err
    machine.run(f"rm {disk}/fill")

    def again() -> bool:
        return machine.run(blocks["again"], code=None).out == "3\n"

    machine.place.wait_until(again, "it goes on by itself")
