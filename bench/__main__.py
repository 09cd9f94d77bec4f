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

#: Behind one of these `python -m bench` says what there is.
_HELP = ("-h", "--help", "help")


def listed() -> str:
    """What there is, by whether it takes options, and how to ask for it."""
    takes = ", ".join(sorted(WITH_OPTIONS))
    plain = ", ".join(sorted(ALL.keys() - WITH_OPTIONS.keys()))
    return (
        "usage: python -m bench [NAME …]\n\n"
        "Runs these benchmarks, prints their tables and writes bench/out/*.json. Without a name it"
        f"\nruns {', '.join(sorted(ALL))}.\n\n"
        f"by name: {plain}\n"
        f"with options of their own (python -m bench NAME --help): {takes}"
    )


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    first = arguments[0] if arguments else ""
    if first in _HELP:
        print(listed())
        return 0
    if first in WITH_OPTIONS:
        WITH_OPTIONS[first](arguments[1:])
        return 0
    if unknown := [name for name in arguments if name not in ALL]:
        print(f"no benchmark {', '.join(map(repr, unknown))}\n\n{listed()}", file=sys.stderr)
        return 2
    for name in arguments or ALL:
        print(f"\n== {name}")
        ALL[name]()
    return 0


if __name__ == "__main__":
    # An end by SIGTERM, too, goes through the cleaning up.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))
