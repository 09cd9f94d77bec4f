"""`python -m bench semantics [ROW …]`: the rows that are named, or all."""

from collections.abc import Sequence

from bench.harness import Figures
from bench.semantics import cancels, limits, schedules, timers

ROWS = (*timers.ROWS, *limits.ROWS, *cancels.ROWS, *schedules.ROWS)


def main(arguments: Sequence[str] = ()) -> Figures:
    if unknown := set(arguments) - {row.name for row in ROWS}:
        names = ", ".join(row.name for row in ROWS)
        raise SystemExit(f"no such row: {', '.join(sorted(unknown))}; there are {names}")
    figures = Figures("semantics")
    for row in ROWS:
        if not arguments or row.name in arguments:
            row.add_to(figures)
    figures.save()
    return figures
