"""Pictures of bench/out/balancing*.json: `python -m bench.plot`."""

import json
from typing import TYPE_CHECKING, Any

from bench.harness import OUT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = ("weighted", "round_robin", "least_loaded", "power_of_two", "dolphin")
UNEVEN = ("speeds 1:2:4:8", "noisy neighbour", "joining and dying")


def figures(title: str) -> list[dict[str, Any]]:
    document: dict[str, list[dict[str, Any]]] = json.loads((OUT / f"{title}.json").read_text())
    return document["figures"]


def values(load: str, lengths: str) -> dict[tuple[str, str], float]:
    """By (strategy, fleet), among four workers."""
    wanted = {f"4 workers, {fleet}, {lengths}, load {load}": fleet for fleet in UNEVEN}
    return {
        (f["name"], wanted[f["conditions"]]): f["value"]
        for f in figures("balancing")
        if f["conditions"] in wanted
    }


def bars(axes: "Axes", load: str, title: str, unit: str, factor: float) -> None:
    found = values(load, "exponential")
    for number, name in enumerate(SHOWN):
        places = [at + (number - 2) * 0.16 for at in range(len(UNEVEN))]
        heights = [found[name, fleet] * factor for fleet in UNEVEN]
        axes.bar(places, heights, 0.15, label=name)
    axes.set_xticks(range(len(UNEVEN)), UNEVEN, fontsize=7)
    axes.set(title=title, ylabel=unit)


def worlds(closed: "Axes", opened: "Axes") -> None:
    """Four workers, exponential lengths, in every uneven fleet."""
    bars(closed, "0%", "closed batch", "% over the bound", 100)
    bars(opened, "70%", "open arrivals, 70 % load", "mean wait, ms", 1000)
    opened.legend(fontsize=6)


def hog(axes: "Axes") -> None:
    """The share of the worker beside the hog, second by second."""
    for name in ("round_robin", "weighted"):
        shares = [
            f["value"] for f in figures("balancing-hog") if f["name"].startswith(f"{name}, second")
        ]
        axes.plot(range(len(shares)), shares, label=name)
    axes.axvspan(10, 35, alpha=0.15, color="red", label="hog runs")
    axes.set(
        title="real workers, one beside a CPU hog", xlabel="s", ylabel="its share of the tasks"
    )
    axes.set_ylim(0, 0.5)
    axes.legend(fontsize=6)
