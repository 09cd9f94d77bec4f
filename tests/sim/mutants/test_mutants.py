"""Deliberate bugs are found: a simulator that lets them live proves nothing about the code."""

import pytest

from tests.sim.mutants.catalogue import ALL
from tests.sim.mutants.hunt import hunt
from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.surgery import mutated


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_every_mutant_still_changes_the_code(mutant: Mutant) -> None:
    with mutated(mutant.edits):
        pass


FAST = [mutant for mutant in ALL if mutant.fast]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", FAST, ids=lambda mutant: mutant.name)
def test_a_classic_bug_is_caught(mutant: Mutant) -> None:
    assert hunt(mutant) is not None, f"survived {mutant.seeds} seeds"
