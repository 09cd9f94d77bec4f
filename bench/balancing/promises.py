"""What `weighted` promises, checked against all worlds; and where another strategy is ahead."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.balancing.results import Cell
    from bench.harness import Figures

#: Makespan in uneven closed batches, over the bound; and in even ones, over round_robin's.
NEAR, EVEN = 0.10, 0.02


def promises(cells: list[Cell], figures: Figures) -> None:
    """Print each, with the scenes that break it."""
    weighted = list(_of(cells, "weighted"))
    uneven = [c for c in weighted if c.scene.fleet != "equal"]
    closed = [c for c in weighted if not c.scene.load]
    far = {str(c): c.value for c in closed if c in uneven}
    _closed("uneven closed batch, over the bound", far, NEAR, figures)
    even = [c for c in closed if c not in uneven]
    longer = {str(c): c.minus(_rival(cells, c, "round_robin")).mean for c in even}
    _closed("even closed batch, over round_robin's", longer, EVEN, figures)
    _waits(cells, [c for c in uneven if c.scene.load], figures)
    _ahead(cells, "power_of_two")


def _closed(what: str, found: dict[str, float], limit: float, figures: Figures) -> None:
    where = max(found, key=lambda name: found[name])
    print()
    figures.promise(what, found[where], -inf, limit, f"worst: {where}")
    for name, value in found.items():
        if value > limit:
            print(f"  broken: {value:.1%} in {name}")


def _waits(cells: list[Cell], opened: list[Cell], figures: Figures) -> None:
    """Against the prior art: how much longer tasks wait under its weight."""
    print("\ntasks wait longer under DolphinScheduler's weight than under weighted by")
    found = [(cell, _rival(cells, cell, "dolphin").minus(cell)) for cell in opened]
    for cell, longer in found:
        print(f"  {cell!s:64} {longer!s:>18}  {longer.verdict}")
    for verdict in ("more", "less", "no difference", "one pair only"):
        count = sum(longer.verdict == verdict for _, longer in found)
        where = f"of {len(found)} uneven open scenes"
        figures.add(f"wait under DolphinScheduler's weight: {verdict}", count, "scenes", where)


def _ahead(cells: list[Cell], name: str) -> None:
    print(f"\n{name} is ahead of weighted in")
    for cell in _of(cells, "weighted"):
        difference = _rival(cells, cell, name).minus(cell)
        if difference.verdict == "less":
            print(f"  {cell!s:64} {difference!s:>18}")


def _of(cells: list[Cell], strategy: str) -> Iterator[Cell]:
    return (cell for cell in cells if cell.strategy == strategy)


def _rival(cells: list[Cell], cell: Cell, strategy: str) -> Cell:
    return next(c for c in _of(cells, strategy) if c.scene == cell.scene)
