"""Trials for tests: a load on three brokers in processes of their own, and the verdict on it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raftwork import App
from raftwork.chaos.history import Stored, read
from raftwork.chaos.processes import Brokers
from raftwork.chaos.run import Plan, Report, Trial, own_cluster
from raftwork.testing.processes import LocalCluster

#: Seconds; nothing waits it out that works.
PATIENCE = 60.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.chaos)
            item.add_marker(pytest.mark.timeout(300))


def wait_until(condition: Callable[[], object], what: str, within: float = PATIENCE) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.02)


def leader_of(brokers: Brokers) -> str:
    """Who leads; waits for one. On a busy machine its answer may once be too late."""
    found: list[str | None] = []

    def leads() -> bool:
        found.append(brokers.see().leader)
        return found[-1] is not None

    wait_until(leads, "a leader")
    return found[-1] or ""


def calm(brokers: Brokers) -> None:
    """A busy machine alone costs no leader its place, and no worker its tasks, from now on."""
    with App(brokers=brokers.text, timeout=PATIENCE) as app:
        app.cluster.set(election_timeout=5, worker_lease=60, worker_reconnect=60)


class Load:
    """A trial's load while it runs."""

    def __init__(self, trial: Trial, journals: Path) -> None:
        self.trial = trial
        self._journals = journals

    def wait_for_more(self, count: int = 100) -> None:
        """Until so many more tasks have been acknowledged."""
        goal = self._acknowledged() + count
        wait_until(lambda: self._acknowledged() >= goal, f"{count} more tasks acknowledged")

    def wait_for_silence(self, seconds: float = 2.0) -> None:
        """Until nothing has been acknowledged for so long."""
        heard = [(self._acknowledged(), time.monotonic())]

        def silent() -> bool:
            count, _ = heard[-1]
            if (seen := self._acknowledged()) != count:
                heard.append((seen, time.monotonic()))
            return time.monotonic() - heard[-1][1] > seconds

        wait_until(silent, f"nothing acknowledged for {seconds} s")

    def _acknowledged(self) -> int:
        return sum(isinstance(event, Stored) for event in read(self._journals))


@contextmanager
def under_load(brokers: Brokers, directory: Path, lasting: float = 1.5) -> Iterator[Load]:
    """A block in which tasks are enqueued and run; after it every promise was kept, or it fails."""
    # So fast that a fault is likely to find an enqueue on its way.
    plan = Plan(faults=(), every=1.0, lasting=lasting, duration=0.0, clients=2, rate=600.0)
    trial = Trial(brokers, directory, plan, print)
    try:
        with trial.load():
            load = Load(trial, directory / "history")
            load.wait_for_more()
            yield load
            load.wait_for_more()
        report = trial.report()
    finally:
        trial.close()
    assert_kept(report)


def assert_kept(report: Report) -> None:
    findings = {name: texts[:5] for name, texts in report.verdict.findings.items() if texts}
    assert not findings
    assert not report.troubles
    assert report.verdict.acknowledged >= 200


@pytest.fixture
def brokers(tmp_path: Path, consensus: str) -> Iterator[Brokers]:
    """Three brokers that run."""
    with own_cluster(tmp_path, consensus) as members:
        yield members


@pytest.fixture
def local(tmp_path: Path, consensus: str) -> Iterator[LocalCluster]:
    """Three brokers that were not started yet."""
    with LocalCluster(tmp_path, consensus=consensus) as made:
        yield made


def started(local: LocalCluster, *flags: str) -> Brokers:
    """The brokers of `local`, all of which run now."""
    for name in local.addresses:
        local.start_broker(name, *flags)
    return all_started(local)


def all_started(local: LocalCluster) -> Brokers:
    for name in local.addresses:
        wait_until((local.data(name) / "broker.pid").exists, f"{name} has started")
    return Brokers([local.directory])
