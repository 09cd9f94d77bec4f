"""`python -m bench.consensus [part …] [--quick]`: Raft and Zab compared.

The parts are `gaps`, `steady`, `cost` and `catching-up`; without one, all of them. The figures go
to bench/out/consensus.json, the table is the one in docs/consensus.md.
"""

import argparse

from bench.consensus import catching_up, cost, gaps, steady
from bench.consensus.table import Part, Table
from bench.harness import Figures

PARTS: dict[str, Part] = {
    "gaps": gaps.main,
    "steady": steady.main,
    "cost": cost.main,
    "catching-up": catching_up.main,
}


def main(parts: tuple[str, ...] = tuple(PARTS), *, quick: bool = False) -> Figures:
    table = Table(Figures("consensus"))
    for part in parts:
        PARTS[part](table, quick)
    print("", *table.markdown(), sep="\n")
    table.figures.save()
    return table.figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="few repeats: only whether it works")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    main(tuple(asked.parts or PARTS), quick=asked.quick)
