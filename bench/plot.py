"""`python -m bench.plot`: pictures of bench/out/*.json for the docs (needs matplotlib)."""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt

from bench.balancing import plots
from bench.harness import OUT

IMAGES = Path(__file__).parent.parent / "docs" / "images"


def series(title: str, pattern: str) -> tuple[list[int], list[float]]:
    """(n, value) of the figures whose name matches, n being the pattern's group."""
    figures = json.loads((OUT / f"{title}.json").read_text())["figures"]
    pairs = [
        (int(found[1].replace(",", "")), figure["value"])
        for figure in figures
        if (found := re.fullmatch(pattern, figure["name"]))
    ]
    return [n for n, _ in pairs], [value for _, value in pairs]


def main() -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    for axes, title, pattern, label in (
        (left, "backlog", r"end to end with ([\d,]+) waiting", "tasks waiting"),
        (right, "workers", r"end to end, (\d+) workers", "workers (all on the same 2 CPUs)"),
    ):
        counts, rates = series(title, pattern)
        axes.plot(counts, rates, marker="o")
        axes.set(xscale="log", xlabel=label, ylabel="tasks/s", ylim=(0, max(rates) * 1.2))
        axes.grid(visible=True, alpha=0.3)
    figure.savefig(IMAGES / "throughput.svg")


def balancing() -> None:
    figure, (closed, opened) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    plots.worlds(closed, opened)
    figure.savefig(IMAGES / "balancing.svg")


def hog() -> None:
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    plots.hog(axes)
    figure.savefig(IMAGES / "hog.svg")


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for title, draw in (("backlog", main), ("balancing", balancing), ("balancing-hog", hog)):
        if (OUT / f"{title}.json").exists():
            draw()
