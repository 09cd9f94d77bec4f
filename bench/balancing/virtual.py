"""Every strategy in virtual-time worlds: makespan of closed batches, waiting times of open ones.

python -m bench balancing
"""

from __future__ import annotations

import statistics
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import NamedTuple

from bench.balancing.scenes import CPUS, FLEETS, LENGTHS, Scene, bound, capacity
from bench.balancing.world import STRATEGIES, World
from bench.harness import Figure, Figures

#: (workers, fleets, lengths, seeds, tasks a slot in closed batches, tasks in open arrivals)
SIZES: list[tuple[int, list[str], list[str], int, int, int]] = [
    (4, list(FLEETS), list(LENGTHS), 2, 600, 5_000),
    (40, list(FLEETS), list(LENGTHS), 2, 600, 12_000),
    (1_000, ["equal", "speeds 1:2:4:8"], ["exponential"], 1, 60, 30_000),
]
LOADS = (0.0, 0.7, 0.95)


class Cell(NamedTuple):
    scene: Scene
    strategy: str
    seeds: int


def measure(cell: Cell) -> dict[str, float]:
    """One strategy in one scene, over all seeds."""
    worlds = [cell.scene.build(cell.strategy, seed).run() for seed in range(cell.seeds)]
    if not cell.scene.load:
        over = [world.made / bound(world) - 1 for world in worlds]
        return {"over bound": statistics.mean(over), "share": max(map(deviation, worlds))}
    waits = [wait for world in worlds for wait in world.waits]
    cuts = statistics.quantiles(waits, n=100)
    return {"mean": statistics.mean(waits), "p50": cuts[49], "p99": cuts[98]}


def deviation(world: World) -> float:
    """How far the worker that is farthest from its ideal share of the tasks is off."""
    ideal = capacity(world.machines, world.made)
    given = sum(machine.given for machine in world.machines)
    return max(
        abs(m.given / given / (capacity([m], world.made) / ideal) - 1)
        for m in world.machines
        if m.joins == 0 and m.dies > world.made
    )


def scenes(
    count: int, fleets: list[str], lengths: list[str], closed: int, arriving: int
) -> list[Scene]:
    return [
        Scene(fleet, count, length, load, arriving if load else closed * count * CPUS)
        for fleet, load, length in product(fleets, LOADS, lengths)
    ]


def main() -> Figures:
    figures = Figures("balancing")
    for count, fleets, lengths, seeds, closed, arriving in SIZES:
        made = scenes(count, fleets, lengths, closed, arriving)
        cells = [Cell(scene, name, seeds) for scene in made for name in STRATEGIES]
        with ProcessPoolExecutor() as pool:
            results = dict(zip(cells, pool.map(measure, cells), strict=True))
        for fleet, load in product(fleets, LOADS):
            table(
                figures,
                [c for c in cells if (c.scene.fleet, c.scene.load) == (fleet, load)],
                results,
            )
    figures.save()
    return figures


def table(figures: Figures, cells: list[Cell], results: dict[Cell, dict[str, float]]) -> None:
    """Rows are strategies, columns lengths of tasks; all of it goes into the figures, too."""
    scene = cells[0].scene
    lengths = list(dict.fromkeys(cell.scene.lengths for cell in cells))
    what = (
        f"{scene.load:.0%} load: mean / p99 wait, s"
        if scene.load
        else "closed batch: % over the bound"
    )
    print(f"\n{scene.workers} workers, {scene.fleet}, {what}")
    print(f"{'':16}" + "".join(f"{length:>20}" for length in lengths))
    for name in STRATEGIES:
        row = [results[cell] for cell in cells if cell.strategy == name]
        texts = [
            f"{r['mean']:.3f} / {r['p99']:.2f}" if scene.load else f"{r['over bound']:.1%}"
            for r in row
        ]
        print(f"{name:16}" + "".join(f"{text:>20}" for text in texts), flush=True)
    for cell in cells:
        result, where = results[cell], cell.scene
        conditions = (
            f"{where.workers} workers, {where.fleet}, {where.lengths}, load {where.load:.0%}"
        )
        value, unit = (
            (result["mean"], "s mean wait")
            if where.load
            else (result["over bound"], "over the bound")
        )
        figures.figures.append(Figure(cell.strategy, value, unit, conditions, result))
