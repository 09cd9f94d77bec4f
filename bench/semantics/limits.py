"""Limits by key, and tenants in turn: what they cost, and how long the small ones wait."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bench.harness import add_workers, client, cluster
from bench.semantics.rows import Reached, Row, at_least, at_most, cpu_us
from bench.tasks import noop, sleep
from raftwork import App, Run

_KEYS, _TASKS_OF_KEY = 10_000, 10
#: So many keys show it too, in a fifth of the time.
_FEW_KEYS = 2_000
_TENANTS, _MANY = 1_000, 1_000_000
#: Slots, and how long a tenant's task takes, s.
_SLOTS, _TAKES_S = 8, 0.02


def _by_key(keys: int) -> Reached:
    """So many keys with a concurrency of 1: how fast their tasks are done, against ordinary ones.

    All wait before a worker comes, so what is measured is handing out, running and settling.
    """
    tasks = keys * _TASKS_OF_KEY
    rates: dict[str, list[float]] = {"limited": [], "ordinary": []}
    spent: dict[str, list[float]] = {"limited": [], "ordinary": []}
    for _ in range(3):
        for kind, found in rates.items():
            with cluster(workers=0) as made, client(made) as app:
                app.limits.set("keys", concurrency=1, per="key")
                runs = _enqueued(app, keys, limits=["keys"] if kind == "limited" else [])
                began, before = time.perf_counter(), cpu_us(made)
                add_workers(made, 1, "thread", 4)
                for run in runs:
                    run.result(600)
                found.append(tasks / (time.perf_counter() - began))
                spent[kind].append((cpu_us(made) - before) / tasks)
    limited, ordinary = (statistics.median(found) for found in rates.values())
    more = {"limited, /s": limited, "ordinary, /s": ordinary}
    for kind, us in spent.items():
        more[f"{kind}, CPU of all processes, us"] = statistics.median(us)
    conditions = f"%, {tasks:,} tasks of {keys:,} keys wait; medians of 3 in turn"
    return Reached(limited / ordinary * 100, conditions, more)


def _enqueued(app: App, keys: int, limits: list[str]) -> list[Run[None]]:
    def of_key(key: int) -> list[Run[None]]:
        task = app.named(noop.name, key=f"key {key}", limits=limits)
        return task.enqueue_many([()] * _TASKS_OF_KEY)

    with ThreadPoolExecutor(32) as pool:
        return [run for runs in pool.map(of_key, range(keys)) for run in runs]


def _tenants() -> Reached:
    """So many tenants of a fair queue, one with a million waiting: how long the others wait.

    Against the same without that one. Each of the others has one task a round.
    """
    with cluster(concurrency=_SLOTS) as made, client(made) as app:
        app.queue("default").set(fair=True)
        alone = _round(app)
        big = app.named(sleep.name, tenant="big")
        for _ in range(_MANY // 10_000):
            big.enqueue_many([(_TAKES_S,)] * 10_000)
        beside = _round(app)
    more = {"alone, s": alone, "beside, s": beside}
    return Reached(beside / alone, f"× alone, {_TENANTS:,} tenants, {_MANY:,} wait", more)


def _round(app: App) -> float:
    """The median time of a small tenant's task from its enqueue to its result, s."""

    def one(tenant: int) -> float:
        began = time.perf_counter()
        app.named(sleep.name, tenant=f"small {tenant}").enqueue(_TAKES_S).result(600)
        return time.perf_counter() - began

    with ThreadPoolExecutor(64) as pool:
        return statistics.median(pool.map(one, range(_TENANTS)))


ROWS: tuple[Row, ...] = (
    *(
        at_least(
            name, f"{keys:,} keys, concurrency 1 each, % of ordinary", 70, partial(_by_key, keys)
        )
        for name, keys in (("keys", _KEYS), ("few-keys", _FEW_KEYS))
    ),
    at_most("tenants", "waiting beside a tenant with 10^6, × alone", 2, _tenants),
)
