"""Simulated systems: `python -m tests.sim.system --seeds 1-300`, or `--seed 7` with its trace."""

import json
import sys
from collections import Counter
from pathlib import Path

import click

from tests.sim.system.reach import EXPECTED
from tests.sim.system.runs import Run, run, run_all


@click.command()
@click.option("--seed", type=int, help="Run one seed and print its trace.")
@click.option("--seeds", default="1-300", help="Run a range A-B, ends included.")
@click.option("--jobs", default=2, help="Processes that share the seeds.")
@click.option("--report", type=click.Path(path_type=Path), help="Write hashes and reach here.")
def main(seed: int | None, seeds: str, jobs: int, report: Path | None) -> None:
    """Simulate whole systems; exit 1 if a seed fails."""
    if seed is not None:
        _show(run(seed, trace=True))
        return
    first, last = map(int, seeds.split("-"))
    reached: Counter[str] = Counter()
    hashes: dict[int, str] = {}
    for each in run_all(range(first, last + 1), jobs):
        if each.failure:
            _show(each)
        reached.update(each.reached)
        hashes[each.seed] = f"{each.hash:08x}"
    for name in EXPECTED:
        print(f"{reached[name]:8} {name}")
    print(f"{len(hashes)} seeds hold")
    if report is not None:
        report.write_text(json.dumps({"hashes": hashes, "reached": reached}))


def _show(run: Run) -> None:
    if run.trace:
        print(run.trace)
    print(f"seed {run.seed}: {run.duration} ms, {run.tasks} tasks, hash {run.hash:08x}")
    if run.failure:
        print(f"FAILED: make sim SEED={run.seed}: {run.failure}")
        sys.exit(1)


if __name__ == "__main__":
    main()
