"""`python -m bench looking [ROW …]`: what it costs a cluster to be looked at, and what that shows.

The table of docs/benchmarks.md, "Looking". Ratios are of what was measured in turn, so that a
machine with other work on it says the same; it may not say it as surely.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bench.harness import Figures
from bench.looking import cost, page, use
from bench.looking.settings import Settings
from bench.semantics.rows import Row


def rows(settings: Settings) -> list[Row]:
    """All of them."""
    return [*cost.rows(settings), *use.rows(settings), *page.rows(settings)]


def main(arguments: Sequence[str] = ()) -> Figures:
    usual = Settings()
    names = ", ".join(row.name for row in rows(usual))
    parser = argparse.ArgumentParser(prog="python -m bench looking")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"some of: {names} (default: all)")
    parser.add_argument("--rounds", type=int, default=usual.rounds, help="default %(default)s")
    parser.add_argument(
        "--tasks", type=int, default=usual.tasks, help="of one throughput (default %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=usual.seconds, help="at rest (default %(default)s)"
    )
    parser.add_argument(
        "--found", type=int, default=usual.found, help="searched among (default %(default)s)"
    )
    parser.add_argument("--consensus", choices=["raft", "zab"], default=usual.consensus)
    asked = parser.parse_args(arguments)
    chosen = Settings(asked.rounds, asked.tasks, asked.seconds, asked.found, asked.consensus)
    found = rows(chosen)
    if unknown := set(asked.rows) - {row.name for row in found}:
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {names}")
    figures = Figures("looking")
    for row in found:
        if not asked.rows or row.name in asked.rows:
            row.add_to(figures)
    figures.save()
    return figures
