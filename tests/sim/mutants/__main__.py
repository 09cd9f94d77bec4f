"""`python -m tests.sim.mutants`: what every mutant needed until it was caught, and by what."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context

import click

from tests.sim.mutants.catalogue import ALL, GROUPS
from tests.sim.mutants.hunt import FIRST
from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.record import RECORD, Hunted, commit, hunted, in_turn, read, valid, write
from tests.sim.system.runs import end_when_told

_SEEDS = {mutant.name: mutant.seeds for mutant in ALL}


@click.command()
@click.option("--only", default="", help="Those whose names contain this.")
@click.option(
    *("--group", "groups"),
    metavar="GROUP",
    type=click.Choice(list(GROUPS)),
    multiple=True,
    help="Those of this group, or of these: " + ", ".join(GROUPS) + ".",
)
@click.option("--consensus", type=click.Choice(["raft", "zab"]), help="Those of one protocol.")
@click.option("--jobs", default=2)
@click.option("--for", "minutes", type=float, help="Begin none after so many minutes.")
@click.option(
    "--record",
    is_flag=True,
    help=f"Keep what is found in {RECORD.name}, and begin with what waits longest.",
)
@click.option("--table", is_flag=True, help="Hunt none: print what is recorded, for the docs.")
def main(
    only: str,
    groups: tuple[str, ...],
    consensus: str | None,
    jobs: int,
    minutes: float | None,
    record: bool,
    table: bool,
) -> None:
    """Exit 1 if a mutant survives, or if what seems to show it fails without it, too."""
    end_when_told()  # a pool whose owner is killed waits for ever
    mutants = [
        mutant
        for group in groups or GROUPS
        for mutant in GROUPS[group]
        if only in mutant.name and consensus in (None, mutant.consensus)
    ]
    known = read(RECORD) if record or table else {}
    if table:
        _show(mutants, known)
        return
    print(f"{'mutant':66} {'seeds':>9}  caught by")
    survivors = 0
    until = None if minutes is None else time.monotonic() + 60 * minutes
    for found in _hunts(in_turn(mutants, known), jobs, until):
        survivors += not found.caught
        print(f"{found.mutant:66} {_seeds(found):>9}  {_catcher(found)}", flush=True)
        known[found.mutant] = found
        if record:
            write(RECORD, known.values())
    sys.exit(1 if survivors else 0)


def _hunts(mutants: list[Mutant], jobs: int, until: float | None) -> Iterator[Hunted]:
    """So many at once, each as soon as it is over."""
    checked_out, todo = commit(), deque(mutants)
    running: set[Future[Hunted]] = set()
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), initializer=end_when_told)
    with pool:
        while todo or running:
            if until is not None and time.monotonic() >= until:
                todo.clear()
            while todo and len(running) < jobs:
                running.add(pool.submit(hunted, todo.popleft(), checked_out))
            over, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (each.result() for each in over)


def _seeds(found: Hunted) -> str:
    return f"{found.seeds or '-'} of {_SEEDS[found.mutant]}"


def _catcher(found: Hunted) -> str:
    if found.honest:
        return f"NOTHING: {FIRST + found.seeds - 1} fails without it, too: {found.honest}"
    return found.checker or "SURVIVES"


def _show(mutants: list[Mutant], known: dict[str, Hunted]) -> None:
    print("| mutant | seeds | caught by | CPU, s | at commit |")
    print("|---|---|---|---|---|")
    for each in valid(mutants, known):
        seeds, checker = _seeds(each), _catcher(each)
        print(f"| {each.mutant} | {seeds} | {checker} | {each.seconds} | {each.commit} |")


if __name__ == "__main__":
    main()
