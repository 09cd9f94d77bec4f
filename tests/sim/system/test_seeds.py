"""Hundreds of histories of the whole system under faults, and what they must have reached.

Each chunk runs in a process of its own, because the simulated disk has to be registered with SQLite
before anything else uses it. Another number of seeds: RAFTWORK_SIM_SEEDS=1000.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.sim.system.reach import COMMON, OF_PROTOCOL

CHUNK = 10
SEEDS = int(os.environ.get("RAFTWORK_SIM_SEEDS", "200"))
#: So many are asked to have reached everything.
ENOUGH = 200
#: Zab has two fifths of them: what is not consensus has been simulated by then. What fewer than one
#: history in a hundred reaches is better brought about (limits.py, timers.py) than waited for.
CHUNKS = [
    (protocol, start)
    for protocol, seeds in (("raft", SEEDS), ("zab", 2 * SEEDS // 5))
    for start in range(1, seeds + 1, CHUNK)
]

#: Histories that failed once, and of what.
ONCE = {
    (
        "raft",
        7437,
    ): "four of five workers did not know a long task: peace was too short for the one",
    ("raft", 71214): "sessions fell just after a hello: a client that only waited was never told",
    ("zab", 71959): "the same",
    (
        "raft",
        50136,
    ): "a lease ended while leadership was handed over, and its worker was back too soon",
}


def _give_way() -> None:
    """Take the CPU time that tests of real processes leave, which look at clocks."""
    os.nice(19)
    with suppress(OSError):  # there where whole sessions are weighed against each other
        Path("/proc/self/autogroup").write_text("19")


def simulate(
    seeds: str, protocol: str, report: Path, hash_seed: str = "random"
) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "tests.sim.system",
        "--seeds",
        seeds,
        "--consensus",
        protocol,
        "--jobs",
        "1",
    ]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        [*command, "--report", str(report)],
        env=environment,
        start_new_session=True,
        preexec_fn=_give_way,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the chunks' reports meet, whichever of pytest's processes ran them."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    directory = base / "sim-reports"
    directory.mkdir(exist_ok=True)
    return directory


def _all_reached(expected: Sequence[str], chunks: Sequence[tuple[str, int]], reports: Path) -> None:
    """Whoever ends last of the chunks finds the reports of all."""
    found = [reports / f"{protocol}-{first}.json" for protocol, first in chunks]
    if all(path.exists() for path in found):
        reached: Counter[str] = Counter()
        for path in found:
            reached.update(json.loads(path.read_text())["reached"])
        missed = [name for name in expected if not reached[name]]
        assert not missed, f"no seed reached: {', '.join(missed)}"


@pytest.mark.timeout(900)  # it gives way to all others
@pytest.mark.parametrize(("protocol", "start"), CHUNKS)
def test_every_promise_is_kept(protocol: str, start: int, reports: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    result = simulate(f"{start}-{start + CHUNK - 1}", protocol, report)
    assert result.returncode == 0, f"{result.stdout[-8_000:]}\n{result.stderr[-4_000:]}"
    report.rename(reports / f"{protocol}-{start}.json")
    if SEEDS >= ENOUGH:
        own = [chunk for chunk in CHUNKS if chunk[0] == protocol]
        _all_reached(OF_PROTOCOL[protocol], own, reports)
        _all_reached(COMMON, CHUNKS, reports)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("protocol", "seed"), ONCE)
def test_what_failed_once_holds(protocol: str, seed: int, tmp_path: Path) -> None:
    result = simulate(f"{seed}-{seed}", protocol, tmp_path / "report.json")
    assert result.returncode == 0, f"{ONCE[protocol, seed]}\n{result.stdout[-8_000:]}"


@pytest.mark.parametrize("protocol", list(OF_PROTOCOL))
def test_a_seed_is_one_history_whatever_the_hash_seed(protocol: str, tmp_path: Path) -> None:
    hashes = []
    for hash_seed in ("1", "2"):
        report = tmp_path / f"{hash_seed}.json"
        result = simulate("18-20", protocol, report, hash_seed)
        assert result.returncode == 0, result.stdout[-4_000:]
        hashes.append(json.loads(report.read_text())["hashes"])
    assert hashes[0] == hashes[1]
