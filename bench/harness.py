"""What every benchmark shares: a cluster of real processes, waiting, and a place for the figures.

Figures are medians or totals over one run on one machine; the machine and the date go with them.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Self

import psutil

from bench.keyed import make_keys
from raftwork import App
from raftwork.client.cluster_status import gather
from raftwork.messages import BrokerStatus
from raftwork.testing.processes import LocalCluster

ROOT = Path(__file__).parent.parent
OUT = ROOT / "bench" / "out"


@dataclass(slots=True)
class Figure:
    """One measured number, with what it was measured under."""

    name: str
    value: float
    unit: str
    conditions: str
    more: dict[str, float] = field(default_factory=dict)


class Figures:
    """Collects, prints and stores."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.figures: list[Figure] = []
        self.notes: list[str] = []

    def add(self, name: str, value: float, unit: str, conditions: str, **more: float) -> None:
        self.figures.append(Figure(name, value, unit, conditions, more))
        extra = "  ".join(f"{k} {v:.4g}" for k, v in more.items())
        print(f"{name:<58} {value:>12,.4g} {unit:<8} {extra}  ({conditions})", flush=True)

    def promise(self, name: str, value: float, low: float, high: float, conditions: str) -> None:
        """A figure that should be between the two, and whether it is."""
        held = low <= value <= high
        wanted = f"at least {low:g}" if high == inf else f"at most {high:g}"
        verdict = "HELD" if held else "BROKEN"
        self.add(f"{verdict}: {name}, {wanted}", value, "", conditions, held=float(held))

    def note(self, text: str) -> None:
        """What must be known to read the figures."""
        self.notes.append(text)
        print(text, flush=True)

    def save(self) -> None:
        OUT.mkdir(exist_ok=True)
        document = {
            "title": self.title,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, {platform.system()} "
            f"{platform.release()}, Python {platform.python_version()}",
            "notes": self.notes,
            "figures": [asdict(figure) for figure in self.figures],
        }
        (OUT / f"{self.title}.json").write_text(json.dumps(document, indent=1))


def wait_until(condition: Callable[[], bool], within: float, what: str) -> None:
    """Poll until it holds; raises TimeoutError naming `what`."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within} s")
        time.sleep(0.005)


@contextmanager
def cluster(
    *,
    brokers: int = 3,
    workers: int = 1,
    pool: str = "thread",
    concurrency: int = 2,
    consensus: str = "raft",
    balancer: str = "weighted",
    env: dict[str, str] | None = None,
    keys: bool = False,
    http: Sequence[str] = (),
) -> Iterator[LocalCluster]:
    """A fresh cluster in a temporary directory, with its workers connected.

    With `keys` it has some, and RAFTWORK_KEY names one for this process and the workers. `http` are
    addresses at which the brokers, one each, have their dashboards.
    """
    names = tuple("abcdefg"[:brokers])
    # Workers run elsewhere and must find `bench.tasks` all the same.
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = {"PYTHONPATH": path} | (env or {})
    with (
        tempfile.TemporaryDirectory(prefix="raftwork-bench-") as directory,
        LocalCluster(Path(directory), names=names, consensus=consensus, env=env) as made,
    ):
        if keys:
            os.environ["RAFTWORK_KEY"] = str(make_keys(made.directory, names))
        for name in names:
            files = (f"{made.directory}/{name}.key", f"{made.directory}/access.toml")
            flags = ["--key", files[0], "--access", files[1]] if keys else []
            flags += ["--http", http[names.index(name)]] if http else []
            made.start_broker(name, "--balancer", balancer, *flags)
        wait_until(lambda: leader(made) is not None, 30, "a leader")
        add_workers(made, workers, pool, concurrency)
        yield made


def add_workers(made: LocalCluster, count: int, pool: str, concurrency: int) -> None:
    start = len([n for n in made.children if n.startswith("w")])
    for i in range(start, start + count):
        flags = ("--pool", pool, "--concurrency", str(concurrency))
        made.start_worker(f"w{i}", "bench.tasks:app", *flags)
    running = sum(made.children[n].alive for n in made.children if n.startswith("w"))
    wait_until(lambda: active_workers(made) >= running, 60, f"{running} workers")


def statuses(made: LocalCluster, names: Iterable[str] | None = None) -> list[BrokerStatus]:
    """What the living ones among these brokers (all of them) say of themselves."""
    alive = [
        made.addresses[name]
        for name in names or made.addresses
        if name in made.children and made.children[name].alive
    ]
    return [status for status in gather(alive, 1.0).statuses.values() if status is not None]


def leader(made: LocalCluster) -> str | None:
    """The name of the activated leader, if there is one."""
    leading = [status for status in statuses(made) if status.active]
    return max(leading, key=lambda status: status.epoch).name if leading else None


def active_workers(made: LocalCluster) -> int:
    return sum(w.state == "active" for s in statuses(made) if s.active for w in s.workers)


def client(made: LocalCluster, timeout: float = 60.0) -> App:
    return App(brokers=made.brokers, timeout=timeout)


class Strangers:
    """What share of this machine's CPUs others than this process and its descendants take."""

    def __init__(self) -> None:
        self._began = self._spent()

    def share(self) -> float:
        """Since the last call, or since it was made. To be asked while all our own are alive."""
        (busy, total, own), self._began = self._began, self._spent()
        new_busy, new_total, new_own = self._began
        return max(0.0, (new_busy - busy) - (new_own - own)) / max(0.01, new_total - total)

    def _spent(self) -> tuple[float, float, float]:
        """CPU seconds: of all, idle time among them or not; and our own."""
        times = psutil.cpu_times()
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        me, own = psutil.Process(), 0.0
        for process in (me, *me.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                spent = process.cpu_times()
                own += spent.user + spent.system
                own += spent.children_user + spent.children_system
        return total - times.idle - getattr(times, "iowait", 0.0), total, own


def rss_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 1e6


class Peak:
    """The most resident memory of some processes while it is entered: `mb`, by name."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self.mb = dict.fromkeys(pids, 0.0)
        self._pids = pids
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._looking.join()

    def _look(self) -> None:
        while True:
            for name, pid in self._pids.items():
                with suppress(psutil.NoSuchProcess):
                    self.mb[name] = max(self.mb[name], rss_mb(pid))
            if self._over.wait(0.02):
                return


def percentiles(samples: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(samples, n=100, method="inclusive")
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": max(samples)}
