"""How much is measured, and what several rows share."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote

from bench.compare import Comparison, compare, order
from bench.harness import client, cluster, leader, wait_until
from bench.semantics.rows import Reached
from bench.tasks import noop
from bench.throughput import end_to_end
from raftwork import App
from raftwork.testing.processes import LocalCluster, free_addresses


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one run."""

    #: Each measures both sides of a comparison, or one failover.
    rounds: int = 7
    #: Of one measurement of throughput.
    tasks: int = 60_000
    #: Of one measurement at rest, s.
    seconds: float = 5.0
    #: Among which is searched.
    found: int = 1_000_000
    consensus: str = "raft"


class Looked(NamedTuple):
    """A cluster with a dashboard beside each broker."""

    made: LocalCluster
    app: App
    urls: dict[str, str]  # of the dashboards, by their brokers
    settings: Settings

    @property
    def leader(self) -> str:
        """Who leads, as soon as somebody does."""
        found: list[str] = []

        def leads() -> bool:
            name = leader(self.made)
            found.extend([name] if name else [])
            return bool(name)

        wait_until(leads, 30, "a leader")
        return found[-1]

    def throughput(self) -> float:
        """Tasks/s of so many that do nothing, in batches of a thousand, ten ahead."""
        return end_to_end(self.app, noop.name, (), self.settings.tasks, 10)


@contextmanager
def looked(settings: Settings, workers: int = 1) -> Iterator[Looked]:
    """Three brokers with dashboards that answer, and workers that have run something."""
    addresses = free_addresses(3)
    with (
        cluster(workers=workers, consensus=settings.consensus, http=addresses) as made,
        client(made) as app,
    ):
        urls = {name: f"http://{at}" for name, at in zip(made.addresses, addresses, strict=True)}
        for url in urls.values():
            wait_until(partial(answers, url), 60, f"{url} to answer")
        if workers:
            end_to_end(app, noop.name, (), 5_000, 10)
        yield Looked(made, app, urls, settings)


def get(url: str, path: str, patience_s: float = 30.0) -> Any:
    """A document of the API. Raises OSError."""
    with urllib.request.urlopen(
        f"{url}/api/v1/{quote(path, safe='/?=&')}", timeout=patience_s
    ) as told:
        return json.load(told)


def answers(url: str, patience_s: float = 1.0) -> bool:
    """Whether a dashboard knows who leads."""
    try:
        return get(url, "overview", patience_s)["leader"] is not None
    except OSError:
        return False


def in_turn(
    name: str, rounds: int, without: Callable[[], float], with_it: Callable[[], float]
) -> Comparison:
    """Both in each round, either first in turn: how many times as much there is with it."""
    values: tuple[list[float], list[float]] = ([], [])
    for number, sides in enumerate(order(rounds), 1):
        for side in sides:
            values[side].append((without, with_it)[side]())
        said = f"{values[0][-1]:,.4g} without, {values[1][-1]:,.4g} with"
        print(f"{name}, round {number}: {said}", file=sys.stderr, flush=True)
    return compare(name, "tasks/s", *values, less_is_better=False)


def share_kept(found: Comparison, conditions: str, **more: float) -> Reached:
    """A row of a comparison."""
    return Reached(
        found.ratio,
        f"{conditions}; {found.sure:.0%} between {found.low:.3f} and {found.high:.3f}",
        {"tasks/s without": found.before, "tasks/s with": found.after, **more},
    )
