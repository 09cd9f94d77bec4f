"""One run of a suite: a cluster, its workers, the tests, and perhaps a leader that keeps dying."""

import json
import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from raftwork.testing.processes import LocalCluster
from tests.suites.catalogue import Suite

ROOT = Path(__file__).resolve().parents[2]
#: Of all of a suite, s: whatever still waits by then hangs.
LONGEST_S = 1800


class Told(NamedTuple):
    """How a suite ended."""

    passed: int
    failed: list[str]
    skipped: int
    kills: int
    seconds: float

    @property
    def words(self) -> str:
        """As the page has it."""
        return f"{self.passed} of {self.passed + len(self.failed)}"


def run(suite: Suite, directory: Path, kill_every: float | None) -> Told:
    """Run a suite over three brokers and a worker. Raises TimeoutExpired if it hangs."""
    directory.mkdir(parents=True)
    with LocalCluster(directory, env={"PYTHONPATH": str(ROOT)}) as cluster:
        for name in cluster.addresses:
            cluster.start_broker(name)
        worker = ["worker", "tests.suites.app:app", "--pickle", "--concurrency", str(suite.slots)]
        cluster.start("worker", worker, {"RAFTWORK_BROKERS": cluster.brokers})
        report = directory / "report.xml"
        with _killing(cluster, kill_every, report.with_suffix(".log")) as kills:
            _pytest(suite, report, cluster.brokers)
        return _told(report, len(kills))


def _pytest(suite: Suite, report: Path, brokers: str) -> None:
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(report.parent)),
        *("-p", "no:cacheprovider", "-p", "no:raftwork", f"--junitxml={report}"),
        *suite.arguments,
    ]
    environment = os.environ | {"RAFTWORK_BROKERS": brokers, "PYTHONPATH": str(ROOT)}
    with report.with_suffix(".log").open("wb") as log:
        subprocess.run(
            command, cwd=report.parent, env=environment, stdout=log, stderr=log, timeout=LONGEST_S
        )


def _told(report: Path, kills: int) -> Told:
    if not report.exists():
        raise SystemExit(report.with_suffix(".log").read_text()[-4_000:])
    (whole,) = ET.parse(report).getroot().iter("testsuite")
    cases = list(whole.iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or _error(case)]
    skipped = sum(case.find("skipped") is not None for case in cases)
    names = [
        f"{str(case.get('classname')).rpartition('.')[2]}::{case.get('name')}" for case in failed
    ]
    seconds = float(whole.get("time", "0"))
    return Told(len(cases) - len(failed) - skipped, names, skipped, kills, seconds)


def _error(case: ET.Element) -> bool:
    return case.find("error") is not None


@contextmanager
def _killing(cluster: LocalCluster, every: float | None, log: Path) -> Iterator[list[str]]:
    """Within the block whoever leads is killed so often, and started again.

    From the first test's end: what modules ask for as they are imported is no test, and without it
    there is none.
    """
    killed: list[str] = []
    over = threading.Event()

    def kill() -> None:
        while not over.wait(every):
            begun = log.exists() and log.stat().st_size
            if begun and (leader := _leader(cluster)) is not None:
                cluster.children[leader].kill()
                cluster.start_broker(leader)
                killed.append(leader)

    thread = threading.Thread(target=kill)
    if every is not None:
        thread.start()
    try:
        yield killed
    finally:
        over.set()
        if every is not None:
            thread.join()


def _leader(cluster: LocalCluster) -> str | None:
    command = [sys.executable, "-m", "raftwork", "status", "--json", "--brokers", cluster.brokers]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return None
    leader: str | None = json.loads(done.stdout)["leader"]
    return leader
