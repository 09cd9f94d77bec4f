"""What a deliberate bug is."""

from dataclasses import dataclass

from tests.sim.mutants.surgery import Edit


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    edits: tuple[Edit, ...]
    #: Seeds within which it must be caught.
    seeds: int = 10
    #: It is a bug of the real store.
    real: bool = False
    #: Among those that every run of the tests checks.
    fast: bool = False
    #: The protocol that the system runs with.
    consensus: str = "raft"


def mutant(
    name: str,
    place: str,
    old: str,
    new: str,
    *,
    seeds: int = 10,
    real: bool = False,
    fast: bool = False,
) -> Mutant:
    """One that needs a single change."""
    return Mutant(name, (Edit(place, old, new),), seeds, real, fast)
