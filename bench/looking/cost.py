"""What it costs: the events that are kept, viewers, and a dashboard that is stopped or killed."""

from __future__ import annotations

import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from bench.compare import in_turn as trees_in_turn
from bench.compare import working_tree
from bench.harness import ROOT, wait_until
from bench.looking.settings import Looked, Settings, answers, in_turn, looked, share_kept
from bench.looking.viewers import SCRAPE_S, Done, cpu_s, viewing
from bench.semantics.rows import Reached, Row, at_least, at_most

VIEWERS: Final = 10
#: What a WAL may have that nobody holds, and a dashboard to answer again, s.
WAL_BYTES_MAX: Final = 64 * 1024 * 1024
AGAIN_S: Final = 10.0
#: The same for one that is stopped, which is noticed after a minute (net/tended_child.py).
HANGS_S: Final = 90.0


def rows(settings: Settings) -> Sequence[Row]:
    """Of what it costs."""
    return (
        at_least(
            "events", "throughput with events, of that without", 0.97, partial(_events, settings)
        ),
        at_least(
            "viewers", "throughput while ten look and one scrapes", 0.97, partial(_viewed, settings)
        ),
        at_most(
            "rest", "% of a core that ten who look take of a leader", 2, partial(_at_rest, settings)
        ),
        at_least(
            "stopped", "throughput beside a stopped dashboard", 0.95, partial(_stopped, settings)
        ),
        at_least(
            "killed",
            "throughput beside a dashboard that is killed",
            0.95,
            partial(_killed, settings),
        ),
    )


def _events(settings: Settings) -> Reached:
    """Two clusters in turn: whether events are kept is said when a broker starts."""
    sides = {"no events": {"RAFTWORK_BROKER_EVENT_BYTES": "0"}, "events": {}}
    with tempfile.TemporaryDirectory(prefix="raftwork-looking-") as made:
        directory = Path(made).resolve()
        shutil.copy(ROOT / "bench" / "driver.py", directory)
        tree = working_tree(directory)
        (found,) = trees_in_turn(
            *(tree, directory, sides, ["throughput"]),
            *(settings.rounds, settings.consensus, settings.seconds),
        )
    return share_kept(found, f"{settings.rounds} rounds of {settings.seconds:g} s")


def _viewed(settings: Settings) -> Reached:
    """Beside the rates stands the leader's own CPU time for a task, and its dashboard's a request.

    It tells whether it has more to do or only shares the machine, also on one that is busy. What
    the dashboards and the viewers themselves take of a core is what the brokers lose of these CPUs.
    """
    done = Done()
    took_us: tuple[list[float], list[float]] = ([], [])
    of_dashboard: list[float] = []
    of_core: tuple[list[float], list[float]] = ([], [])
    with looked(settings) as place:
        leader = place.made.children[place.leader].pid
        child = _dashboard(leader).pid
        children = [_dashboard(place.made.children[name].pid).pid for name in place.urls]

        def counted(side: int) -> float:
            before, of_children = cpu_s(leader), sum(map(cpu_s, children))
            rate = place.throughput()
            took_us[side].append((cpu_s(leader) - before) / settings.tasks * 1e6)
            spent_s = sum(map(cpu_s, children)) - of_children
            of_core[side].append(spent_s / (settings.tasks / rate) * 100)
            return rate

        def with_viewers() -> float:
            before = cpu_s(child)
            with viewing(_urls(place), VIEWERS, done):
                rate = counted(1)
            of_dashboard.append(cpu_s(child) - before)
            return rate

        found = in_turn("viewers", settings.rounds, lambda: counted(0), with_viewers)
    cpu = {
        f"µs of the leader a task, {side}": statistics.median(values)
        for side, values in zip(("without", "with"), took_us, strict=True)
    }
    for side, values in zip(("without", "with"), of_core, strict=True):
        cpu[f"% of a core, all dashboards, {side}"] = statistics.median(values)
    cpu["ms of its dashboard a request"] = sum(of_dashboard) / max(1, done.asked) * 1e3
    cpu["ms of the viewers themselves a request"] = done.cpu_s / max(1, done.asked) * 1e3
    return share_kept(found, _who_looked(settings, done), **cpu, **_asked(done))


def _at_rest(settings: Settings) -> Reached:
    """Of the leader's own process; its dashboard is another, and yields to it."""
    done, extra, childs = Done(), list[float](), list[float]()
    with looked(settings) as place:
        pid = place.made.children[place.leader].pid
        child = _dashboard(pid).pid
        for _ in range(settings.rounds):
            alone = _share(pid, settings.seconds)
            with viewing(_urls(place), VIEWERS, done):
                began, cpu = time.monotonic(), cpu_s(child)
                extra.append(_share(pid, settings.seconds) - alone)
                childs.append((cpu_s(child) - cpu) / (time.monotonic() - began) * 100)
    more = {"% of a core, its dashboard": statistics.median(childs), "most": max(extra)}
    return Reached(
        max(0.0, statistics.median(extra)), _who_looked(settings, done), more | _asked(done)
    )


def _stopped(settings: Settings) -> Reached:
    """A process that holds what it has open, and reads nothing any more."""
    most = 0
    with looked(settings) as place:
        child = _dashboard(place.made.children[place.leader].pid)

        def stopped() -> float:
            nonlocal most
            child.suspend()
            try:
                return place.throughput()
            finally:
                most = max(most, *map(wal_bytes, map(place.made.data, place.made.addresses)))
                child.resume()

        found = in_turn("stopped", settings.rounds, place.throughput, stopped)
        child.suspend()
        began = time.monotonic()
        wait_until(lambda: answers(place.urls[place.leader]), HANGS_S, "another dashboard")
        again = {"s until another answers": time.monotonic() - began}
    assert most <= WAL_BYTES_MAX, f"a WAL had {most} bytes"
    return share_kept(
        found, f"{settings.rounds} rounds of SIGSTOP", **{"WAL, MB": most / 1e6}, **again
    )


def _killed(settings: Settings) -> Reached:
    """Killed as often as it has come again."""
    took: list[float] = []
    with looked(settings) as place:
        name = place.leader
        broker, url = place.made.children[name].pid, place.urls[name]

        def killed() -> float:
            wait_until(lambda: answers(url), 90, "a dashboard to kill")
            child, began = _dashboard(broker), time.monotonic()
            child.send_signal(signal.SIGKILL)
            rate = place.throughput()
            wait_until(lambda: answers(url), 90, "another dashboard")
            took.append(time.monotonic() - began)
            return rate

        found = in_turn("killed", settings.rounds, place.throughput, killed)
    # Each time it is waited for longer (broker/http_child.py), so the first counts.
    assert took[0] <= AGAIN_S, f"it took {took[0]:.1f} s until it answered again"
    return share_kept(found, f"{settings.rounds} kills", **{"s until it answers again": took[0]})


# ---- parts --------------------------------------------------------------------------------------


def wal_bytes(directory: Path) -> int:
    """Of all write-ahead logs in a broker's directory."""
    return sum(file.stat().st_size for file in directory.rglob("*-wal"))


def _urls(place: Looked) -> list[str]:
    """The leader's first: it is the dashboard that costs the most."""
    first = place.leader
    return [place.urls[name] for name in sorted(place.urls, key=lambda name: name != first)]


def _dashboard(broker: int) -> psutil.Process:
    """The process that answers HTTP beside a broker."""
    (found,) = psutil.Process(broker).children()
    return found


def _share(pid: int, seconds: float) -> float:
    """What a process takes of a core, in per cent, for so long."""
    began, cpu = time.monotonic(), cpu_s(pid)
    time.sleep(seconds)
    return (cpu_s(pid) - cpu) / (time.monotonic() - began) * 100


def _who_looked(settings: Settings, done: Done) -> str:
    assert done.failed <= done.asked / 100, f"{done.failed} of {done.asked} requests failed"
    return f"{VIEWERS} viewers, a scrape every {SCRAPE_S:g} s, {settings.rounds} rounds"


def _asked(done: Done) -> dict[str, float]:
    return {"requests of viewers": done.asked, "told": done.told, "scrapes": done.scraped}
