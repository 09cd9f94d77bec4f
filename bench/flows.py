"""Flows: a chain step by step, a chord, chords in a row, a graph of ten thousand nodes."""

import statistics
import time
from typing import NamedTuple

from bench.harness import Figures, client, cluster
from bench.tasks import noop
from raftwork import App, Flow, chain, group
from raftwork.client.canvas import Canvas

CHAIN = 1_000
CHORD = 10_000
CHORDS, MEMBERS = 50, 10
NODES, LAYERS = 10_000, 20
#: Of what is told as a share of plain tasks' rate.
ROUNDS = 5


def _plain(app: App, tasks: int) -> float:
    """Plain tasks/s, in one batch, from the enqueue to the last result."""
    task = app.task(name=noop.name)(noop.function)
    began = time.perf_counter()
    for run in task.enqueue_many([()] * tasks):
        run.result(timeout=120)
    return tasks / (time.perf_counter() - began)


def _one_in_flight(app: App, tasks: int) -> float:
    """Seconds for each of so many tasks, each enqueued once the one before has its result."""
    task = app.task(name=noop.name)(noop.function)
    began = time.perf_counter()
    for _ in range(tasks):
        task.enqueue().result(timeout=60)
    return (time.perf_counter() - began) / tasks


def _timed(canvas: Canvas | Flow) -> float:
    """Seconds from the submission to the result."""
    began = time.perf_counter()
    canvas.enqueue().result(timeout=300)
    return time.perf_counter() - began


def _graph(app: App) -> Flow:
    """Twenty layers; each node waits for five of the layer before it."""
    task = app.task(name=noop.name)(noop.function)
    flow, width = app.flow(), NODES // LAYERS
    layer = [flow.add(task) for _ in range(width)]
    for _ in range(LAYERS - 1):
        before = layer
        layer = [
            flow.add(task, after=[before[(at + k) % width] for k in range(5)])
            for at in range(width)
        ]
    return flow


class _Round(NamedTuple):
    """Plain tasks, a chord and a graph of as many, one after the other."""

    plain: float  # tasks/s
    chord: float
    graph: float
    submitted: float  # s


def _round(app: App) -> _Round:
    task = app.task(name=noop.name)(noop.function)
    plain = _plain(app, CHORD)
    chord = CHORD / _timed(group(task.si() for _ in range(CHORD - 1)) | task.si())
    flow = _graph(app)
    began = time.perf_counter()
    flow.enqueue()
    submitted = time.perf_counter() - began
    flow.result(timeout=300)
    return _Round(plain, chord, NODES / (time.perf_counter() - began), submitted)


def _add_against_plain(figures: Figures, app: App, where: str) -> None:
    """Medians of a few rounds, and of their ratios."""
    rounds = [_round(app) for _ in range(ROUNDS)]
    where = f"{where}; median of {ROUNDS} in turn"
    for name, values, unit in (
        (f"{CHORD} plain tasks", [each.plain for each in rounds], "tasks/s"),
        (f"chord of {CHORD}", [each.chord for each in rounds], "tasks/s"),
        ("chord against plain", [each.chord / each.plain * 100 for each in rounds], "%"),
        (f"graph of {NODES}: submitted", [each.submitted for each in rounds], "s"),
        (f"graph of {NODES}: end to end", [each.graph for each in rounds], "tasks/s"),
        ("graph against plain", [each.graph / each.plain * 100 for each in rounds], "%"),
    ):
        least, most = min(values), max(values)
        figures.add(name, statistics.median(values), unit, where, least=least, most=most)


def _bytes(canvas: Canvas) -> int:
    """Of what is submitted: the log has that and the outcomes."""
    flow = canvas._flow(None)  # noqa: SLF001
    return len(flow._builder.graph(flow._whole()))  # noqa: SLF001


def _in_a_row(app: App, chords: int) -> Canvas:
    task = app.task(name=noop.name)(noop.function)
    step = group(task.si() for _ in range(MEMBERS)) | task.si()
    return chain(*[step] * chords)


def main() -> Figures:
    figures = Figures("flows")
    where = "3 replicas, 1 worker, thread pool of 2, no-op tasks"
    with cluster(pool="thread") as made, client(made) as app:
        task = app.task(name=noop.name)(noop.function)
        _plain(app, 5_000)
        single = _one_in_flight(app, 300)
        figures.add("one in flight", single * 1_000, "ms", where)
        step = _timed(chain(*[task.si() for _ in range(CHAIN)])) / CHAIN
        figures.add(f"chain of {CHAIN}: a step", step * 1_000, "ms", where)
        figures.add("a step against one in flight", step / single, "×", where)
        _add_against_plain(figures, app, where)
        for chords in (CHORDS // 5, CHORDS):
            name = f"{chords} chords of {MEMBERS} in a row"
            row = _in_a_row(app, chords)
            figures.add(name, _timed(row) / chords * 1_000, "ms a chord", where)
            figures.add(f"{name}: bytes submitted", _bytes(row) / chords, "bytes a chord", where)
    figures.save()
    return figures
