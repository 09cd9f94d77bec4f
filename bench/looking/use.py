"""What those who look get: a search among a million tasks, and a new leader."""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from bench.failover import settled
from bench.harness import wait_until
from bench.looking.settings import Looked, Settings, answers, get, looked
from bench.semantics.rows import Reached, Row, at_most
from bench.tasks import fail, noop

#: What is entered in one go; one in a hundred of it fails, one in a hundred has a tag.
_BATCH: Final = 10_000
#: What is searched for: by name, as it is asked.
SEARCHES: Final[dict[str, str]] = {
    "state": "state:failed",
    "name": "name:bench.f*",
    "tag": "tag:customer=7",
    "error": "error:customer",
    "nothing has it": "error:nowhere-to-be-found",
    "the oldest alone has it": "name:bench.oldest",
}
#: Between two looks of a page, s.
LOOK_S: Final = 1.0


def rows(settings: Settings) -> Sequence[Row]:
    """Of what those who look get."""
    return (
        at_most("search", "ms, the slowest search's first page", 300, partial(_search, settings)),
        at_most("failover", "s until a new leader is shown", 5, partial(_failover, settings)),
    )


def _search(settings: Settings) -> Reached:
    """The median of each; no two ask the same, as an answer is kept for a second."""
    more: dict[str, float] = {}
    with looked(settings) as place:
        fill(place)
        url = place.urls[place.leader]
        for name, query in SEARCHES.items():
            took, told = _timed(url, query, settings.rounds)
            more[f"ms, {name}"] = took
            more[f"scanned, {name}"] = told["scanned"]
            more[f"tasks, {name}"] = len(told["tasks"])
    slowest = max(value for name, value in more.items() if name.startswith("ms, "))
    return Reached(slowest, f"{settings.found:,} tasks, {settings.rounds} times each", more)


def _timed(url: str, query: str, times: int) -> tuple[float, Any]:
    """Milliseconds of the median; and what is answered."""
    took = []
    for number in range(times):
        began = time.perf_counter()
        told = get(url, f"tasks?q={query}&limit={50 - number % 40}", 60)
        took.append((time.perf_counter() - began) * 1e3)
    return statistics.median(took), told


def fill(place: Looked) -> None:
    """Have so many tasks been run: most are alike, some failed, some have a tag, one is alone."""
    app, found = place.app, place.settings.found
    app.named("bench.oldest", queue="nobody-serves-this").enqueue()
    tagged = app.named(noop.name, tags={"customer": "7"})
    for _ in range(max(1, found // _BATCH)):
        app.named(noop.name).enqueue_many([()] * (_BATCH - _BATCH // 50))
        app.named(fail.name).enqueue_many([("7",)] * (_BATCH // 100))
        tagged.enqueue_many([()] * (_BATCH // 100))
    wait_until(lambda: _waiting(place) <= 1, 600, "all of them are done")


def _waiting(place: Looked) -> int:
    totals = get(place.urls[place.leader], "overview")["totals"]
    return int(totals["queued"] + totals["running"])


def _failover(settings: Settings) -> Reached:
    """As a page sees it that looks once a second, at a dashboard whose broker lives."""
    took: list[float] = []
    with looked(settings, workers=0) as place:
        for _ in range(settings.rounds):
            killed = place.leader
            url = next(url for name, url in place.urls.items() if name != killed)
            wait_until(partial(answers, url), 30, "it to know who leads")
            place.made.children[killed].signal(signal.SIGKILL)
            took.append(_until_another(url, killed))
            place.made.children[killed].wait(timeout=20)
            http = place.urls[killed].removeprefix("http://")
            place.made.start_broker(killed, "--http", http)
            wait_until(lambda: settled(place.made), 60, "all three brokers")
    more = {"median": statistics.median(took), "least": min(took)}
    return Reached(max(took), f"the longest of {settings.rounds}", more)


def _until_another(url: str, killed: str) -> float:
    """Seconds until a page has another leader than that."""
    began = time.monotonic()
    while True:
        if get(url, "overview")["leader"] not in (killed, None):
            return time.monotonic() - began
        if time.monotonic() - began > 60:
            raise TimeoutError(f"after 60 s {url} shows no other leader than {killed}")
        time.sleep(LOOK_S)
