"""What a break is."""

from dataclasses import dataclass

from tests.sim.mutants.surgery import Edit


@dataclass(frozen=True, slots=True)
class Break:
    name: str
    edits: tuple[Edit, ...]
    #: Each of these must fail under it.
    tests: tuple[str, ...]
