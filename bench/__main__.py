"""`python -m bench [name …]`: run the benchmarks, print their tables, write bench/out/*.json.

`python -m bench compare REV …` is none of them: it measures another revision against this one.
Nor is `python -m bench peers …`: it measures other queues, which must be installed first.
`python -m bench first-hour …`, `idle …`, `keys …`, `limited …`, `looking …`, `rolling …`,
`strangers …`, `many …`, `turn …` and `path …` take options, too; `python -m bench semantics
[ROW …]` takes the names of rows; `python -m bench schedules` is those of schedules.
"""

import signal
import sys
from collections.abc import Callable, Sequence

from bench import (
    backlog,
    compare,
    failover,
    first_hour,
    flows,
    herd,
    hostile,
    idle,
    keys,
    latency,
    limited,
    many,
    path,
    poison,
    pressure,
    rolling,
    strangers,
    throughput,
    turn,
    workers,
)
from bench.balancing import cost, hog, virtual
from bench.consensus import __main__ as consensus
from bench.looking import run as looking
from bench.peers import run as peers
from bench.semantics import run as semantics
from bench.semantics import schedules

ALL = {
    "throughput": throughput.main,
    "latency": latency.main,
    "failover": failover.main,
    "first-hour": first_hour.main,
    "flows": flows.main,
    "idle": idle.main,
    "backlog": backlog.main,
    "workers": workers.main,
    "poison": poison.main,
    "pressure": pressure.main,
    "hostile": hostile.main,
    "herd": herd.main,
    "keys": keys.main,
    "limited": limited.main,
    "looking": looking.main,
    "rolling": rolling.main,
    "strangers": strangers.main,
    "balancing": virtual.main,
    "balancing-cost": cost.main,
    "balancing-hog": hog.main,
    "consensus": consensus.main,
}

#: Those that take options have the command line to themselves.
WITH_OPTIONS: dict[str, Callable[[Sequence[str]], object]] = {
    "compare": compare.main,
    "first-hour": first_hour.main,
    "hostile": hostile.main,
    "idle": idle.main,
    "keys": keys.main,
    "limited": limited.main,
    "looking": looking.main,
    "rolling": rolling.main,
    "strangers": strangers.main,
    "many": many.main,
    "turn": turn.main,
    "path": path.main,
    "peers": peers.main,
    "semantics": semantics.main,
    "schedules": lambda _: semantics.main([row.name for row in schedules.ROWS]),
}

# An end by SIGTERM, too, goes through the cleaning up.
signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
chosen = WITH_OPTIONS.get(sys.argv[1]) if sys.argv[1:] else None
if chosen is not None:
    chosen(sys.argv[2:])
else:
    for name in sys.argv[1:] or ALL:
        print(f"\n== {name}")
        ALL[name]()
