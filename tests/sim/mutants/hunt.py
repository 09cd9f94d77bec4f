"""Looking for the first seed that shows a mutant."""

from typing import NamedTuple

from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.surgery import mutated
from tests.sim.system.runs import run
from tests.sim.system.sqlite import Registered

#: Seeds of the hunt begin here: those before are what CI runs without mutants.
FIRST = 1_001


class Catch(NamedTuple):
    seeds: int
    checker: str
    failure: str


def hunt(mutant: Mutant) -> Catch | None:
    """None if it survived all of its seeds."""
    if mutant.real:
        Registered.ensure()  # before a mutant keeps it from standing under the checksums
    with mutated(mutant.edits):
        for count in range(1, mutant.seeds + 1):
            result = run(FIRST + count - 1, mutant.consensus, real=mutant.real)
            if result.failure:
                return Catch(count, result.checker, result.failure)
    return None
