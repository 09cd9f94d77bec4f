"""`python -m tests.teeth`: every test over real processes, with its promise broken on purpose.

Each must fail, and say what it misses. One at a time: whoever shares the machine is not to decide.
"""

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click
import psutil

from tests.teeth.breaking import BREAK, STARTUP
from tests.teeth.catalogue import BREAKS, ROOT, cluster_tests

#: Marks every process of one test, so that none outlives it: a broken product may leave some.
_MARK = "RAFTWORK_TEETH"
_SUMMARY = re.compile(r"^(?:FAILED|ERROR) \S+?(?:\[.*?\])? - (.*)", re.MULTILINE)
#: Words of a break that is itself broken: nothing is proved by them.
_NO_PROOF = re.compile(
    r"\b(NameError|SyntaxError|IndentationError|ImportError|ModuleNotFoundError|OutOfDate)\b"
)


class Bite(NamedTuple):
    """`said` is what the test failed with; None if it did not, or not for its promise."""

    said: str | None
    output: str
    seconds: float


def bite(test: str, name: str, patience: float) -> Bite:
    """Run a test under a break."""
    mark, began = uuid.uuid4().hex, time.monotonic()
    path = os.pathsep.join([str(STARTUP), str(ROOT)])
    chosen = {BREAK: name, _MARK: mark, "RAFTWORK_TEST_PATIENCE": str(patience)}
    with TemporaryDirectory(prefix="raftwork-teeth-") as directory:
        try:
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "pytest", "-x", "-q", "--tb=short", "-rfE"),
                    *("-p", "no:cacheprovider", "--basetemp", str(Path(directory) / "base")),
                    *("--consensus", "raft", f"{cluster_tests()[test]}::{test}"),
                ],
                cwd=ROOT,
                env=os.environ | chosen | {"PYTHONPATH": path, "COLUMNS": "400"},
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            _kill_marked(mark)
    found = _SUMMARY.search(done.stdout)
    proof = done.returncode == 1 and found is not None and not _NO_PROOF.search(done.stdout)
    said = found[1] if found and proof else None
    return Bite(said, done.stdout + done.stderr, time.monotonic() - began)


def _kill_marked(mark: str) -> None:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(_MARK) == mark:
                process.kill()


@click.command()
@click.option("--only", default="", help="Tests and breaks whose names contain this.")
@click.option("--patience", default=8.0, help="Seconds a test waits for what it is promised.")
@click.option("--verbose", is_flag=True, help="All that a test said, if it did not bite.")
def main(only: str, patience: float, verbose: bool) -> None:
    """Exit 1 if a test did not fail."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through the cleaning up
    pairs = [(t, b.name) for b in BREAKS for t in b.tests if only in t or only in b.name]
    if not pairs:
        raise click.UsageError(f"no test or break has {only!r} in its name")
    toothless = 0
    for test, name in pairs:
        said, output, seconds = bite(test, name, patience)
        toothless += said is None
        print(f"{test}\n    {name} ({seconds:.0f} s): {said or 'DOES NOT FAIL'}", flush=True)
        if said is None and verbose:
            print(output, flush=True)
    print(f"{len(pairs) - toothless} of {len(pairs)} failed as they should")
    sys.exit(1 if toothless else 0)


if __name__ == "__main__":
    main()
