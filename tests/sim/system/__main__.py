"""Simulated systems: `python -m tests.sim.system --seeds 1-300`, or `--seed 7` with its trace."""

import json
import sys
from collections import Counter
from pathlib import Path

import click

from raftwork.broker.options import CONSENSUS
from tests.sim.system.reach import COMMON, OF_PROTOCOL
from tests.sim.system.runs import Run, end_when_told, run, run_all
from tests.sim.system.soak import read, soak


@click.command()
@click.option("--seed", type=int, help="Run one seed and print its trace.")
@click.option("--seeds", default="1-300", help="Run a range A-B, ends included.")
@click.option("--consensus", type=click.Choice(CONSENSUS), default="raft", show_default=True)
@click.option("--jobs", default=2, help="Processes that share the seeds.")
@click.option("--report", type=click.Path(path_type=Path), help="Write hashes and reach here.")
@click.option("--soak", "progress", type=click.Path(path_type=Path), help="Go on where FILE ends.")
def main(
    seed: int | None,
    seeds: str,
    consensus: str,
    jobs: int,
    report: Path | None,
    progress: Path | None,
) -> None:
    """Simulate whole systems; exit 1 if a seed fails."""
    end_when_told()
    if seed is not None:
        _show(run(seed, consensus, trace=True), consensus)
        return
    begin, _, end = seeds.partition("-")
    first, last = int(begin), int(end or begin)
    if progress is not None:
        _soak(first, last, jobs, consensus, progress)
        return
    reached: Counter[str] = Counter()
    hashes: dict[int, str] = {}
    for each in run_all(range(first, last + 1), jobs, consensus):
        if each.failure:
            _show(each, consensus)
        reached.update(each.reached)
        hashes[each.seed] = f"{each.hash:08x}"
    for name in (*OF_PROTOCOL[consensus], *COMMON):
        print(f"{reached[name]:8} {name}")
    print(f"{len(hashes)} seeds hold")
    if report is not None:
        report.write_text(json.dumps({"hashes": hashes, "reached": reached}))


def _soak(first: int, last: int, jobs: int, consensus: str, progress: Path) -> None:
    """All seeds, those that fail, too: hours should not end at the first."""
    for stride in soak(first, last, jobs, consensus, progress):
        print(f"{stride.first}-{stride.last}: {len(stride.failed)} failed", flush=True)
    reached: Counter[str] = Counter()
    failed: dict[str, str] = {}
    strides = [s for s in read(progress) if first <= s.first and s.last <= last]
    for stride in strides:
        reached.update(stride.reached)
        failed.update(stride.failed)
    for name in (*OF_PROTOCOL[consensus], *COMMON):
        print(f"{reached[name]:8} {name}")
    print(f"{sum(s.last - s.first + 1 for s in strides)} seeds, {len(failed)} failed")
    for number, what in failed.items():
        print(f"{_again(number, consensus)}: {what}")
    sys.exit(bool(failed))


def _again(seed: int | str, consensus: str) -> str:
    return f"make sim SEED={seed} CONSENSUS={consensus}"


def _show(run: Run, consensus: str) -> None:
    if run.trace:
        print(run.trace)
    print(f"seed {run.seed}: {run.duration} ms, {run.tasks} tasks, hash {run.hash:08x}")
    if run.failure:
        print(f"FAILED: {_again(run.seed, consensus)}: {run.failure}")
        sys.exit(1)


if __name__ == "__main__":
    main()
