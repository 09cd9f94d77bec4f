"""`python -m bench strangers [--connections N]`: keyed brokers under strangers' connections.

Three brokers with keys, a worker and an honest client, under each attack of bench.handshakes and
under all of them at once; none of the attackers has a key that is let in. Told are the brokers that
ended, which must be none, the honest tasks a second against those just before, and the connections
made. By default it is small; `--connections 100000` is what is promised. The attackers come from an
address of their own, which is slowed, so that within their time they make fewer; from the honest
client's (`--source 127.0.0.1`), which is not, all of them.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from math import inf

from bench.handshakes import ATTACKS
from bench.harness import ROOT, Figures, client, cluster
from bench.hostile import ALL, CPUS, Cpus, Honest
from raftwork.testing.processes import LocalCluster

#: Of all attacks, one after the other.
CONNECTIONS = 5_000
#: Seconds of honest work at a time.
STEP_S = 0.5
BEFORE_S = 3.0
#: For so long each attack goes on, at least: 20,000 connections may be made within a second, and
#: most of that is the start of the process that makes them.
ATTACK_S = 4.0


def main(arguments: Sequence[str] = ()) -> Figures:
    parser = argparse.ArgumentParser(prog="python -m bench strangers", description=__doc__)
    parser.add_argument(
        "--connections",
        type=int,
        default=CONNECTIONS,
        help="of all attacks together, one after the other (default %(default)s)",
    )
    parser.add_argument(
        "--source",
        default="127.0.0.66",
        help="the address they come from; 127.0.0.1 is the honest client's (default %(default)s)",
    )
    options = parser.parse_args(arguments)
    figures = Figures("strangers")
    with cluster(keys=True) as made, client(made, timeout=120.0) as app:
        honest = Honest(app)
        pids = {name: child.pid for name, child in made.children.items()}
        honest.work(BEFORE_S)
        each = options.connections // len(ATTACKS)
        attack = partial(_measure, figures, made, honest, options.source)
        made_in_all = sum(attack(name, each) for name in ATTACKS)
        figures.add("connections, one attack after the other", made_in_all, "", "all attacks")
        attack(ALL, max(100, each // len(ATTACKS)))
        honest.finish()
        ended = [
            name
            for name, child in made.children.items()
            if not child.alive or child.pid != pids[name]
        ]
        figures.promise("processes that ended", len(ended), 0, 0, ", ".join(ended) or "none")
    figures.save()
    return figures


def _measure(
    figures: Figures,
    made: LocalCluster,
    honest: Honest,
    source: str,
    name: str,
    connections: int,
) -> int:
    """The connections made. The honest client works until all of them are."""
    before = honest.work(BEFORE_S)
    command = [sys.executable, "-m", "bench.handshakes", made.brokers]
    command += ["--key", os.environ["RAFTWORK_KEY"], "--connections", str(connections)]
    command += ["--seconds", str(ATTACK_S), "--source", source]
    command += [] if name == ALL else ["--only", name]
    speeds: list[float] = []
    taken = 0.0
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as attackers:
        cpus = Cpus(attackers.pid)
        while attackers.poll() is None:
            speeds.append(honest.work(STEP_S))
            taken = cpus.used() or taken  # 0 of one that has just ended
        assert attackers.stdout is not None
        count = int(attackers.stdout.read())
    during = sum(speeds) / len(speeds)
    left = during / before / max(0.1, 1 - taken / CPUS)
    least = 0.5 if name == ALL else 0.8
    conditions = f"{count} connections from {source}, {during / before:.2f} of what it was"
    figures.promise(f"{name}, by the CPUs left", left, least, inf, conditions)
    return count
