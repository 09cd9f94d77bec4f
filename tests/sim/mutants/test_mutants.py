"""Deliberate bugs are found: a simulator that lets them live proves nothing about the code."""

from collections import Counter

import pytest

from tests.sim.mutants.catalogue import ALL
from tests.sim.mutants.hunt import Catch, hunt
from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.surgery import mutated
from tests.sim.system.runs import Run


def test_a_seed_that_fails_without_the_mutant_too_shows_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bug of the product was once told as a mutant's catch."""
    mutant = ALL[0]
    fails = [True]

    def live(seed: int, _consensus: str, **_: object) -> Run:
        failed = fails.pop(0) if fails else False
        return Run(seed, 0, 0, 0, Counter(), "tokens grow" * failed, "they shrink" * failed)

    monkeypatch.setattr("tests.sim.mutants.hunt.run", live)
    assert hunt(mutant) == Catch(1, "tokens grow", "they shrink")
    fails += [False, True, True]
    assert hunt(mutant) == Catch(2, "tokens grow", "they shrink", honest="they shrink")
    assert hunt(mutant) is None


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_every_mutant_still_changes_the_code(mutant: Mutant) -> None:
    with mutated(mutant.edits):
        pass


FAST = [mutant for mutant in ALL if mutant.fast]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", FAST, ids=lambda mutant: mutant.name)
def test_a_classic_bug_is_caught(mutant: Mutant) -> None:
    catch = hunt(mutant)
    assert catch is not None, f"survived {mutant.seeds} seeds"
    assert not catch.honest, "the seed that shows it fails without it, too"
