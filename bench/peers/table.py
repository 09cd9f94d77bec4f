"""From what was measured in rounds to ratios, figures and tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.harness import Figures
from bench.peers.catalogue import PEERS, RAFTWORK
from bench.peers.measures import MEASUREMENTS, Sample


@dataclass(frozen=True, slots=True)
class Side:
    """One peer measured once."""

    versions: str
    #: The share of the machine's CPUs that others took meanwhile.
    others: float
    samples: Mapping[str, Sample]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some rounds, and their extremes."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


#: What was measured one after the other, by name: Raftwork, and one or two beside it.
Group = Mapping[str, Side]


@dataclass(slots=True)
class Results:
    """All that a run has measured, and what it could not."""

    groups: list[Group] = field(default_factory=list)
    #: Why a peer is not among them: it is not installed, or it failed.
    absent: dict[str, str] = field(default_factory=dict)

    def sides(self, name: str) -> list[Side]:
        return [group[name] for group in self.groups if name in group]

    def samples(self, name: str, measurement: str) -> list[Sample]:
        found = (side.samples.get(measurement) for side in self.sides(name))
        return [sample for sample in found if sample is not None]

    def spread(self, name: str, measurement: str) -> Spread | None:
        samples = self.samples(name, measurement)
        return Spread.of([each.value for each in samples]) if samples else None

    def ratio(self, name: str, measurement: str) -> Spread | None:
        """Raftwork ÷ this one, by those measured next to each other; None if there are none."""
        ratios = [
            group[RAFTWORK].samples[measurement].value / group[name].samples[measurement].value
            for group in self.groups
            if all(who in group and measurement in group[who].samples for who in (RAFTWORK, name))
        ]
        return Spread.of(ratios) if ratios else None


def schedule(peers: Sequence[str], number: int) -> list[list[str]]:
    """Who is measured in which order in this round (0, 1, …), in groups that are compared.

    Raftwork stands between each two others, so that each is compared with a Raftwork measured just
    before or after it; and every second round goes backwards, so that neither is always first.
    """
    others = [name for name in peers if name != RAFTWORK]
    groups = [[others[i], RAFTWORK, *others[i + 1 : i + 2]] for i in range(0, len(others), 2)] or [
        [RAFTWORK]
    ]
    return [group[::-1] for group in groups[::-1]] if number % 2 else groups


def number(value: float) -> str:
    """With three digits, or all of a large one."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def report(results: Results, figures: Figures, conditions: str) -> None:
    """Add a figure for each peer and measurement, and a note for each that is absent."""
    names = [name for name in PEERS if results.sides(name)]
    for key, measurement in MEASUREMENTS.items():
        for name in names:
            spread, ratio = results.spread(name, key), results.ratio(name, key)
            if spread is None:
                continue
            samples = results.samples(name, key)
            more = {
                "least": min(each.more.get("least", each.value) for each in samples),
                "most": max(each.more.get("most", each.value) for each in samples),
            }
            for seen in (seen for seen in samples[0].more if seen not in more):
                more[seen] = statistics.median(sample.more[seen] for sample in samples)
            if ratio is not None and name != RAFTWORK:
                more["Raftwork÷it"] = ratio.median
                more["least÷"], more["most÷"] = ratio.least, ratio.most
            what = f"{measurement.title}: {PEERS[name].title}"
            figures.add(what, spread.median, measurement.unit, conditions, **more)
    for name in names:
        busy = Spread.of([side.others for side in results.sides(name)])
        told = f"{PEERS[name].title}: {results.sides(name)[0].versions}; {PEERS[name].setting}"
        figures.note(f"{told}; on disk when acknowledged: {PEERS[name].synced}")
        figures.note(f"{PEERS[name].title}: others took {busy.median:.0%}, at most {busy.most:.0%}")
        for key, why in PEERS[name].without.items():
            figures.note(f"{PEERS[name].title}: no “{MEASUREMENTS[key].title}”: {why}")
    for name, why in results.absent.items():
        figures.note(f"{PEERS[name].title}: {why}")


def markdown(results: Results, only: Sequence[str]) -> Iterator[str]:
    """The two tables as they stand in docs/peers.md: medians, and Raftwork ÷ each of the others."""
    heads = [f"{MEASUREMENTS[key].short}, {MEASUREMENTS[key].unit}" for key in only]
    head = f"| | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"
    names = [name for name in PEERS if results.sides(name)]
    yield from head
    for name in names:
        cells = [_value(results, name, key) for key in only]
        yield f"| {PEERS[name].title} | {' | '.join(cells)} |"
    yield from ("", "Raftwork ÷ the other, measured next to each other: median (least–most)", "")
    yield from head
    for name in names:
        if name != RAFTWORK:
            cells = [_ratio(results.ratio(name, key)) for key in only]
            yield f"| Raftwork ÷ {PEERS[name].title} | {' | '.join(cells)} |"


def _value(results: Results, name: str, measurement: str) -> str:
    samples = results.samples(name, measurement)
    if not samples:
        return "–"
    shown = number(statistics.median(sample.value for sample in samples))
    if MEASUREMENTS[measurement].unit == "ms" and "p99" in samples[0].more:
        shown += f" (p99 {number(statistics.median(each.more['p99'] for each in samples))})"
    return shown


def _ratio(ratio: Spread | None) -> str:
    if ratio is None:
        return "–"
    return f"{number(ratio.median)} ({number(ratio.least)}–{number(ratio.most)})"
