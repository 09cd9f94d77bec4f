"""Whether a change made things faster or slower: another revision against the working tree.

    python -m bench compare REV [--only throughput,enqueue,one-in-flight] [--rounds N] [--json]

The two are measured in turn, A B B A …, each time with a fresh cluster and a client of the same
tree (driver.py). What disturbs the machine for longer than a round disturbs both sides of it, so
only the ratios within each round count.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING

from bench.driver import MEASUREMENTS
from bench.harness import ROOT
from raftwork.testing.processes import free_addresses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: One side of one round may take so long (s) besides what it measures.
PATIENCE_S = 120
#: A verdict needs so much: five rounds have 94 %.
SURE = 0.9
#: Of these, less is better.
TIMES = frozenset({"one-in-flight"})


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measurement of both sides. `ratio` is how many times as good the working tree is.

    It is the median of the rounds' ratios; `least` and `most` are their extremes. The median of all
    rounds there could be lies between `low` and `high` with the probability `sure`.
    """

    name: str
    unit: str
    before: float
    after: float
    ratio: float
    least: float
    most: float
    low: float
    high: float
    sure: float

    @property
    def verdict(self) -> str:
        if self.sure < SURE:
            return "too few rounds"
        if self.low > 1:
            return "better"
        return "worse" if self.high < 1 else "no difference seen"


def compare(
    name: str, unit: str, before: Sequence[float], after: Sequence[float], *, less_is_better: bool
) -> Comparison:
    """The verdict on values that were measured in pairs."""
    pairs = zip(before, after, strict=True)
    ratios = sorted(b / a if less_is_better else a / b for b, a in pairs)
    low, high, sure = interval(ratios)
    return Comparison(
        name,
        unit,
        statistics.median(before),
        statistics.median(after),
        statistics.median(ratios),
        ratios[0],
        ratios[-1],
        low,
        high,
        sure,
    )


def interval(ordered: Sequence[float]) -> tuple[float, float, float]:
    """The narrowest bounds between which the true median lies with SURE; and with how much.

    Exact for any distribution: each value is as likely above the true median as below it, so the
    number above it is that of heads among so many coins. Bounds of too few values are less sure.
    """
    count = len(ordered)
    cut, outside = 0, 2 * 0.5**count  # all on one side of it
    while cut + 1 < (count + 1) // 2:
        more = outside + 2 * comb(count, cut + 1) * 0.5**count
        if 1 - more < SURE:
            break
        cut, outside = cut + 1, more
    return ordered[cut], ordered[-1 - cut], 1 - outside


def order(rounds: int) -> list[tuple[int, int]]:
    """Which side is measured first and second in each round: A B, B A, A B, …"""
    return [(0, 1) if i % 2 == 0 else (1, 0) for i in range(rounds)]


@dataclass(frozen=True, slots=True)
class Tree:
    """Sources to be measured, and the interpreter that has what they need."""

    source: Path
    python: Path


def working_tree(directory: Path) -> Tree:
    """A copy, so that what is edited meanwhile is not measured by half."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", directory / "after" / "src", ignore=ignore)
    return Tree(directory / "after" / "src", Path(sys.executable))


def revision(name: str, directory: Path) -> Tree:
    """That commit's sources; with a venv of its own if it wants other dependencies.

    Raises CalledProcessError if there is no such commit, or its dependencies cannot be installed.
    """
    where = directory / "before"
    where.mkdir()
    archive = subprocess.run(
        ["git", "-C", ROOT, "archive", name, "src", "requirements.lock"],
        check=True,
        stdout=subprocess.PIPE,
    )
    subprocess.run(["tar", "-x", "-C", where], input=archive.stdout, check=True)
    lock = where / "requirements.lock"
    if lock.read_bytes() == (ROOT / "requirements.lock").read_bytes():
        return Tree(where / "src", Path(sys.executable))
    print(f"{name} has other dependencies: installing them", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", where / "venv"], check=True)
    python = where / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", lock], check=True)
    return Tree(where / "src", python)


def measure(
    tree: Tree,
    directory: Path,
    only: Sequence[str],
    consensus: str,
    seconds: float,
    env: dict[str, str] | None = None,
) -> dict[str, dict[str, float]]:
    """Run the driver on this tree: {measurement: {"value": …, "cpu_us": …}}.

    Raises CalledProcessError if it failed, TimeoutExpired if it hangs.
    """
    paths = os.pathsep.join((str(tree.source), str(directory)))
    where = {"PYTHONPATH": paths, "RAFTWORK_BROKERS": ",".join(free_addresses(3))}
    asked = json.dumps({"consensus": consensus, "seconds": seconds, "only": list(only)})
    driver = subprocess.Popen(
        [tree.python, "-P", directory / "driver.py", asked],
        cwd=directory,
        env=os.environ | where | (env or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, _ = driver.communicate(timeout=PATIENCE_S + 2 * seconds * len(only))
    finally:
        with suppress(ProcessLookupError):  # its brokers and workers are in the group
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    if driver.returncode:
        raise subprocess.CalledProcessError(driver.returncode, "bench/driver.py")
    result = json.loads(out)
    measured = Path(result["raftwork"])
    if not measured.is_relative_to(tree.source):
        raise AssertionError(f"{measured} was measured instead of {tree.source}")
    figures: dict[str, dict[str, float]] = result["figures"]
    return figures


def in_turn(
    tree: Tree,
    directory: Path,
    sides: Mapping[str, Mapping[str, str]],
    only: Sequence[str],
    rounds: int,
    consensus: str,
    seconds: float,
) -> list[Comparison]:
    """The same tree under two environments, by their names: the second against the first.

    `directory` has the driver. Raises what `measure` does.
    """
    names, values = list(sides), [list[dict[str, dict[str, float]]]() for _ in sides]
    for number, both in enumerate(order(rounds), 1):
        for side in both:
            env = dict(sides[names[side]])
            found = measure(tree, directory, only, consensus, seconds, env)
            values[side].append(found)
            told = "  ".join(f"{name} {each['value']:,.4g}" for name, each in found.items())
            print(f"round {number}  {names[side]:<14} {told}", file=sys.stderr, flush=True)
    return [
        compare(
            name,
            "ms, p50" if name in TIMES else "tasks/s",
            *([figures[name]["value"] for figures in side] for side in values),
            less_is_better=name in TIMES,
        )
        for name in only
    ]


def run(
    rev: str, only: Sequence[str], rounds: int, consensus: str, seconds: float
) -> list[Comparison]:
    """Measure both sides so many times."""
    values: list[list[dict[str, dict[str, float]]]] = [[], []]
    with tempfile.TemporaryDirectory(prefix="raftwork-compare-") as made:
        directory = Path(made).resolve()
        shutil.copy(ROOT / "bench" / "driver.py", directory)
        trees = revision(rev, directory), working_tree(directory)
        for number, sides in enumerate(order(rounds), 1):
            for side in sides:
                figures = measure(trees[side], directory, only, consensus, seconds)
                values[side].append(figures)
                told = "  ".join(f"{name} {each['value']:,.4g}" for name, each in figures.items())
                who = ("working tree", rev)[side == 0]
                print(f"round {number}  {who:<14} {told}", file=sys.stderr, flush=True)
    found: list[Comparison] = []
    for name in only:
        before, after = ([figures[name] for figures in side] for side in values)
        is_time = name in TIMES
        for what, unit, key, less in (
            (name, "ms, p50" if is_time else "tasks/s", "value", is_time),
            (f"{name}, CPU", "µs/task", "cpu_us", True),
        ):
            pair = [each[key] for each in before], [each[key] for each in after]
            found.append(compare(what, unit, *pair, less_is_better=less))
    return found


def report(before: str, after: str, found: Sequence[Comparison]) -> str:
    """The table for people; the two sides by their names."""
    sure = f"{found[0].sure:.0%} between"
    head = f"{'':<20} {before:>12.12} {after:>12.12} {'':<8} {'times as good':>13}"
    lines = [f"{head}  {sure:<13}  extremes"]
    for each in found:
        bounds, extremes = f"{each.low:.3f}–{each.high:.3f}", f"{each.least:.3f}–{each.most:.3f}"
        lines.append(
            f"{each.name:<20} {each.before:>12,.4g} {each.after:>12,.4g} {each.unit:<8} "
            f"{each.ratio:>13.3f}  {bounds:<13}  {extremes}  {each.verdict}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench compare")
    parser.add_argument("rev", help="any name of a commit: HEAD, main, a tag, a hash")
    parser.add_argument("--only", default=",".join(MEASUREMENTS), help="some of: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="each measures both (default 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="per measurement (default 2)")
    parser.add_argument("--consensus", choices=["raft", "zab"], default="raft")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    only = options.only.split(",")
    if unknown := set(only) - MEASUREMENTS.keys():
        there_is = ", ".join(MEASUREMENTS)
        parser.error(f"no measurement {', '.join(sorted(unknown))}; there is {there_is}")
    if options.rounds < 1:
        parser.error("at least one round")
    found = run(options.rev, only, options.rounds, options.consensus, options.seconds)
    if options.json:
        rows = [asdict(each) | {"verdict": each.verdict} for each in found]
        print(json.dumps({"rev": options.rev, "rounds": options.rounds, "figures": rows}, indent=1))
    else:
        print(report(options.rev, "working tree", found))
