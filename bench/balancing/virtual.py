"""Every strategy in virtual-time worlds: makespan of closed batches, waiting times of open ones.

    python -m bench balancing

About half an hour on two busy CPUs; cut short, it goes on where it was. At the end stands what
`weighted` promises and whether that held.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from itertools import groupby, product
from statistics import mean, quantiles
from typing import TYPE_CHECKING, NamedTuple

from bench.balancing.kept import Kept, Run
from bench.balancing.promises import promises
from bench.balancing.results import Cell, Result
from bench.balancing.scenes import CPUS, FLEETS, LENGTHS, Scene, bound, capacity
from bench.balancing.world import STRATEGIES, World
from bench.harness import Figure, Figures

if TYPE_CHECKING:
    from collections.abc import Iterator

LOADS = (0.0, 0.7, 0.95)


class Size(NamedTuple):
    """How much of each scene; a large fleet is its own repetition."""

    workers: int
    seeds: int
    tasks: int  # a slot, in closed batches
    seconds: int  # of open arrivals
    lengths: tuple[str, ...] = tuple(LENGTHS)

    def scenes(self) -> list[Scene]:
        closed = self.tasks * self.workers * CPUS
        return [
            Scene(fleet, self.workers, length, load, self.seconds if load else closed)
            for fleet, load, length in product(FLEETS, LOADS, self.lengths)
        ]


SIZES = (
    Size(4, 10, 600, 800),
    Size(40, 2, 600, 120),
    Size(1_000, 1, 20, 12, ("exponential",)),
)


def measure(run: Run) -> Result:
    scene, strategy, seed = run
    world = scene.build(strategy, seed).run()
    if not scene.load:
        return Result(world.made / bound(world) - 1, deviation(world))
    cuts = quantiles(world.waits, n=100)
    return Result(mean(world.waits), deviation(world), cuts[49], cuts[98])


def deviation(world: World) -> float:
    """How far the worker that is farthest from its ideal share of the tasks is off."""
    ideal = capacity(world.machines, world.made)
    given = sum(machine.given for machine in world.machines)
    return max(
        abs(m.given / given / (capacity([m], world.made) / ideal) - 1)
        for m in world.machines
        if m.joins == 0 and m.dies > world.made
    )


def main() -> Figures:
    figures = Figures("balancing")
    cells: list[Cell] = []
    with ProcessPoolExecutor() as pool:
        for size in SIZES:
            results = outcomes(pool, list(product(size.scenes(), STRATEGIES, range(size.seeds))))
            for (fleet, load), rows in groupby(results, lambda r: (r[0][0].fleet, r[0][0].load)):
                made = gathered(list(rows))
                table(f"{size.workers:,} workers, {fleet}", load, made)
                cells += made
                figures.figures += [figure(cell, made) for cell in made]
                figures.save()
    promises(cells, figures)
    figures.save()
    return figures


def outcomes(pool: ProcessPoolExecutor, runs: list[Run]) -> Iterator[tuple[Run, Result]]:
    """In the order asked for, so that a table is printed once its last world is done."""
    kept = Kept()
    new = [run for run in runs if kept.get(run) is None]
    made = pool.map(measure, new)
    for run in runs:
        result = kept.get(run)
        if result is None:
            result = next(made)
            kept.add(run, result)
        yield run, result


def gathered(rows: list[tuple[Run, Result]]) -> list[Cell]:
    """The seeds of each scene and strategy together."""
    return [
        Cell(scene, strategy, [result for _, result in found])
        for (scene, strategy), found in groupby(rows, lambda row: row[0][:2])
    ]


def table(title: str, load: float, cells: list[Cell]) -> None:
    """Rows are strategies, columns lengths of tasks."""
    print(
        f"\n{title}, "
        + (f"{load:.0%} load: mean / p99 wait, s" if load else "closed batch: % over the bound")
    )
    lengths = dict.fromkeys(cell.scene.lengths for cell in cells)
    print(f"{'':16}" + "".join(f"{length:>20}" for length in lengths))
    for name in STRATEGIES:
        texts = [
            f"{cell.value:.3f} / {cell.p99:.2f}" if load else f"{cell.value:.1%}"
            for cell in cells
            if cell.strategy == name
        ]
        print(f"{name:16}" + "".join(f"{text:>20}" for text in texts), flush=True)


def figure(cell: Cell, cells: list[Cell]) -> Figure:
    scene = cell.scene
    weighted = next(c for c in cells if c.scene == scene and c.strategy == "weighted")
    ahead = cell.minus(weighted)
    more = {"share": cell.share, "minus weighted": ahead.mean, "its error": ahead.error}
    if scene.load:
        more |= {"p50": cell.p50, "p99": cell.p99}
    unit = "s mean wait" if scene.load else "over the bound"
    return Figure(cell.strategy, cell.value, unit, str(cell), more)
