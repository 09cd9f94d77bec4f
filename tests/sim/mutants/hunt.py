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
    #: How the last of these seeds fails without the mutant: then it shows another bug.
    honest: str = ""


def hunt(mutant: Mutant) -> Catch | None:
    """None if it survived all of its seeds."""
    if mutant.real:
        Registered.ensure()  # before a mutant keeps it from standing under the checksums
    for count in range(1, mutant.seeds + 1):
        seed = FIRST + count - 1
        with mutated(mutant.edits):
            result = run(seed, mutant.consensus, real=mutant.real)
        if result.failure:
            honest = run(seed, mutant.consensus, real=mutant.real).failure
            return Catch(count, result.checker, result.failure, honest)
    return None
