"""`python -m bench keys [--rounds N] [--seconds S] [--json]`: what keys cost.

End to end, enqueue, and one task in flight, with CURVE against without, by the working tree. The
two are measured in turn, as `python -m bench compare` does, and only the ratios within each round
count.
"""

import argparse
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path

from bench.compare import Comparison, in_turn, report, working_tree
from bench.driver import KEYS, MEASUREMENTS
from bench.harness import ROOT, Figures
from bench.keyed import make_keys

#: What issue 17 sets out to reach: with keys, times as good as without.
LEAST: Mapping[str, float] = {"throughput": 0.85, "enqueue": 0.85, "one-in-flight": 1 / 1.3}
SIDES = ("without", "with keys")


def run(only: Sequence[str], rounds: int, seconds: float, consensus: str) -> list[Comparison]:
    """Measure both sides so many times."""
    with tempfile.TemporaryDirectory(prefix="raftwork-keys-") as made:
        directory = Path(made).resolve()
        shutil.copy(ROOT / "bench" / "driver.py", directory)
        honest = make_keys(directory, "abc")
        keys = {KEYS: str(directory), "RAFTWORK_KEY": str(honest)}
        sides = dict(zip(SIDES, ({}, keys), strict=True))
        tree = working_tree(directory)
        return in_turn(tree, directory, sides, only, rounds, consensus, seconds)


def main(arguments: Sequence[str] = ()) -> Figures:
    parser = argparse.ArgumentParser(prog="python -m bench keys", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="each measures both (default 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="per measurement (default 2)")
    parser.add_argument("--only", default=",".join(MEASUREMENTS), help="some of: %(default)s")
    parser.add_argument("--consensus", choices=["raft", "zab"], default="raft")
    options = parser.parse_args(arguments)
    found = run(options.only.split(","), options.rounds, options.seconds, options.consensus)
    print(report(*SIDES, found))
    figures = Figures("keys")
    for each in found:
        conditions = f"{options.rounds} rounds, {each.least:.3f} to {each.most:.3f}"
        figures.promise(f"{each.name} with keys", each.ratio, LEAST[each.name], inf, conditions)
    figures.save()
    return figures
