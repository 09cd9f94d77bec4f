"""Raftwork beside other queues, on this machine and in one run.

    python -m bench peers [--only celery,rabbitmq,…] [--measure enqueue,…] [--rounds N]

Each peer is started afresh each time it is measured, with nothing else running, in a process of its
own (side.py); Raftwork is measured between each two of them, and every second round goes backwards.
Only the ratios of what was measured next to each other count: what disturbs the machine for longer
disturbs both. A peer whose server or client is not installed is skipped, and it says so.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.harness import ROOT, Figures
from bench.peers.catalogue import PEERS, RAFTWORK
from bench.peers.measures import MEASUREMENTS, Effort, Sample
from bench.peers.table import Results, Side, markdown, report, schedule

#: One peer may take so long (s) besides what it measures: starts, results that are behind, repairs.
PATIENCE_S = 300
MARK = "RAFTWORK_BENCH_RUN"


class SideFailed(Exception):
    """A peer could not be measured this time; the end of what it said."""


@contextmanager
def marked() -> Iterator[dict[str, str]]:
    """An environment for a process; with the block it ends, and all that it started.

    Also if this process is killed, and whatever session they are in: tests/reaper.py.
    """
    mark = {MARK: uuid.uuid4().hex}
    reaper = subprocess.Popen(
        [sys.executable, "-m", "tests.reaper", *(f"{k}={v}" for k, v in mark.items())],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield mark
    finally:
        reaper.communicate()


def measure(name: str, only: Sequence[str], effort: Effort) -> Side:
    """Measure this peer once. Raises SideFailed."""
    asked = {"seconds": effort.seconds, "kills": effort.kills, "only": list(only)}
    command = (sys.executable, "-m", "bench.peers.side", PEERS[name].module, json.dumps(asked))
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as directory, marked() as mark:
        log = Path(directory, "side.log")
        with (
            log.open("wb") as errors,
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | mark | {"TMPDIR": directory},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            ) as side,
        ):
            out = ""
            try:
                with suppress(subprocess.TimeoutExpired):
                    out, _ = side.communicate(timeout=_patience(only, effort))
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(side.pid, signal.SIGKILL)
        if side.returncode:
            end = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
            raise SideFailed(f"exit code {side.returncode} (-9: it took too long)\n{end}")
    return decode(out)


def _patience(only: Sequence[str], effort: Effort) -> float:
    return PATIENCE_S + 3 * effort.seconds * len(only)


def decode(said: str) -> Side:
    """What side.py prints."""
    document = json.loads(said)
    samples = {key: Sample(**sample) for key, sample in document["samples"].items()}
    return Side(document["versions"], document["others"], samples)


def run(peers: Sequence[str], only: Sequence[str], rounds: int, effort: Effort) -> Results:
    """Measure all of these, that many times."""
    results = Results()
    for name in peers:
        if (why := PEERS[name].missing()) is not None:
            results.absent[name] = f"skipped: {why}"
            print(f"{name}: {results.absent[name]}", file=sys.stderr, flush=True)
    here = [name for name in peers if name not in results.absent]
    for number in range(rounds):
        for names in schedule(here, number):
            group: dict[str, Side] = {}
            for name in names:
                began = time.monotonic()
                try:
                    side = group[name] = measure(name, only, effort)
                except SideFailed as error:
                    results.absent[name] = f"failed in round {number + 1}"
                    print(f"{name} in round {number + 1}: {error}", file=sys.stderr, flush=True)
                    continue
                told = "  ".join(f"{key} {each.value:,.4g}" for key, each in side.samples.items())
                spent = f"{time.monotonic() - began:.0f} s, others {side.others:.0%}"
                said = f"round {number + 1}  {name:<16} {told}  ({spent})"
                print(said, file=sys.stderr, flush=True)
            results.groups.append(group)
    return results


def _names(asked: str, known: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """In the order in which they are known."""
    chosen = asked.split(",")
    if unknown := set(chosen) - set(known):
        parser.error(f"no {', '.join(sorted(unknown))}; there is {', '.join(known)}")
    return [name for name in known if name in chosen]


def main(arguments: Sequence[str] = ()) -> Figures:
    parser = argparse.ArgumentParser(prog="python -m bench peers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", default=",".join(PEERS), help="some of: %(default)s")
    parser.add_argument("--measure", default=",".join(MEASUREMENTS), help="some of: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="each measures all (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="per measurement (default 3)")
    parser.add_argument("--kills", type=int, default=2, help="of leaders a round (default 2)")
    options = parser.parse_args(arguments)
    peers = _names(options.only, list(PEERS), parser)
    only = _names(options.measure, list(MEASUREMENTS), parser)
    if options.rounds < 1 or options.kills < 1:
        parser.error("at least one round, and one kill a round")
    if RAFTWORK not in peers:
        peers.insert(0, RAFTWORK)
    figures = Figures("peers")
    results = run(peers, only, options.rounds, Effort(options.seconds, options.kills))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    conditions = f"{options.rounds} rounds of {options.seconds:g} s, {options.kills} kills each"
    figures.note(f"load at the end (1, 5, 15 min): {load}")
    report(results, figures, conditions)
    print("", *markdown(results, only), sep="\n")
    figures.save()
    return figures
