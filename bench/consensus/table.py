"""Who was measured, and a table with a column for each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.harness import Figures
from raftwork.broker.options import CONSENSUS


class Contender(NamedTuple):
    protocol: str
    replicas: int

    def __str__(self) -> str:
        return f"{self.protocol.capitalize()}, {self.replicas}"


#: By turns, so that what else the machine does at the time is shared fairly.
CONTENDERS = [Contender(protocol, n) for n in (3, 5) for protocol in CONSENSUS]


@dataclass(slots=True)
class Table:
    """Figures by name and contender."""

    figures: Figures
    rows: dict[str, dict[Contender, str]] = field(default_factory=dict)

    def add(
        self, name: str, who: Contender, value: float, unit: str, conditions: str, **more: float
    ) -> None:
        """One figure; of `more` the table shows the maximum beside the value."""
        self.figures.add(f"{name}: {who}", value, unit, conditions, **more)
        shown = _number(value) + (f" ({_number(more['max'])})" if "max" in more else "")
        label = ", ".join(filter(None, (name, unit))) + (": median (max)" if "max" in more else "")
        self.rows.setdefault(label, {})[who] = shown

    def markdown(self) -> Iterator[str]:
        """As it stands in docs/consensus.md."""
        yield f"| | {' | '.join(map(str, CONTENDERS))} |"
        yield "|---" * (1 + len(CONTENDERS)) + "|"
        for label, row in self.rows.items():
            yield f"| {label} | {' | '.join(row.get(who, '') for who in CONTENDERS)} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


#: A part of the comparison; `quick` only proves that it works.
Part = Callable[[Table, bool], None]
