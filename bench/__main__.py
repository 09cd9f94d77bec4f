"""`python -m bench [name …]`: run the benchmarks, print their tables, write bench/out/*.json."""

import sys

from bench import backlog, failover, latency, throughput, workers

ALL = {
    "throughput": throughput.main,
    "latency": latency.main,
    "failover": failover.main,
    "backlog": backlog.main,
    "workers": workers.main,
}

for name in sys.argv[1:] or ALL:
    print(f"\n== {name}")
    ALL[name]()
