"""`python -m tests.sim.mutants`: what every mutant needed until it was caught, and by what."""

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import click

from tests.sim.mutants.catalogue import ALL
from tests.sim.mutants.hunt import FIRST, hunt


@click.command()
@click.option("--only", default="", help="Those whose names contain this.")
@click.option("--jobs", default=2)
def main(only: str, jobs: int) -> None:
    """Exit 1 if a mutant survives, or if what seems to show it fails without it, too."""
    mutants = [mutant for mutant in ALL if only in mutant.name]
    print(f"{'mutant':66} {'seeds':>9}  caught by")
    survivors = 0
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for mutant, catch in zip(mutants, pool.map(hunt, mutants), strict=True):
            survivors += catch is None or bool(catch.honest)
            seeds = f"{catch.seeds if catch else '-'} of {mutant.seeds}"
            found = catch.checker if catch else "SURVIVES"
            if catch and catch.honest:
                found = f"NOTHING: {FIRST + catch.seeds - 1} fails without it, too: {catch.honest}"
            print(f"{mutant.name:66} {seeds:>9}  {found}", flush=True)
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
