"""`python -m bench [name …]`: run the benchmarks, print their tables, write bench/out/*.json.

`python -m bench compare REV …` is none of them: it measures another revision against this one.
"""

import signal
import sys

from bench import (
    backlog,
    compare,
    failover,
    herd,
    hostile,
    latency,
    poison,
    pressure,
    throughput,
    workers,
)
from bench.balancing import cost, hog, virtual
from bench.consensus import __main__ as consensus

ALL = {
    "throughput": throughput.main,
    "latency": latency.main,
    "failover": failover.main,
    "backlog": backlog.main,
    "workers": workers.main,
    "poison": poison.main,
    "pressure": pressure.main,
    "hostile": hostile.main,
    "herd": herd.main,
    "balancing": virtual.main,
    "balancing-cost": cost.main,
    "balancing-hog": hog.main,
    "consensus": consensus.main,
}

# An end by SIGTERM, too, goes through the cleaning up.
signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
if sys.argv[1:2] == ["compare"]:
    compare.main(sys.argv[2:])
    sys.exit()
for name in sys.argv[1:] or ALL:
    print(f"\n== {name}")
    ALL[name]()
