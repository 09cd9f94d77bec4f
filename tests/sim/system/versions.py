"""`python -m tests.sim.system.versions`: the same seeds under every supported Python, with another
hash seed in each: every one of them must live the same histories.

Pythons are looked for on the PATH and in pyenv's directory; one that is not here is skipped.
"""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click

from raftwork.broker.options import CONSENSUS

ROOT = Path(__file__).resolve().parents[3]
SUPPORTED = ("3.11", "3.12", "3.13")


@click.command()
@click.option("--seeds", default="11-15", show_default=True, help="A range A-B, ends included.")
@click.option(
    "--venvs",
    type=click.Path(path_type=Path),
    default=Path(sys.prefix) / "versions",
    help="Where the environments of the other Pythons are made, and found again.",
)
def main(seeds: str, venvs: Path) -> None:
    """Exit 1 if two Pythons disagree on a seed."""
    known: dict[str, dict[str, str]] = {}
    for version in SUPPORTED:
        python = _environment(version, venvs)
        if python is None:
            print(f"Python {version}: skipped, there is none here")
            continue
        for consensus in CONSENSUS:
            hashes = _hashes(python, version, seeds, consensus, venvs)
            if known.setdefault(consensus, hashes) != hashes:
                differing = [s for s in hashes if hashes[s] != known[consensus][s]]
                print(f"Python {version}, {consensus}: other histories of {', '.join(differing)}")
                sys.exit(1)
        print(f"Python {version}: seeds {seeds} are the same histories")


def _environment(version: str, venvs: Path) -> Path | None:
    """A Python of this version that has what Raftwork itself depends on, as it is locked."""
    if version == "{}.{}".format(*sys.version_info):
        return Path(sys.executable)
    home = venvs / version
    python, ready = home / "bin" / "python", home / ".ready"
    if not ready.exists():
        found = next(filter(_runs, _candidates(version)), None)
        if found is None:
            return None
        subprocess.run([found, "-m", "venv", "--clear", home], check=True)
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        needs: list[str] = project["dependencies"]
        install = ["-m", "pip", "install", "--quiet", "-c", str(ROOT / "requirements.lock")]
        subprocess.run([str(python), *install, *needs], check=True)
        ready.touch()
    return python


def _candidates(version: str) -> Iterator[str]:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from map(str, sorted(pyenv.glob(f"{version}*/bin/python"), reverse=True))
    yield f"python{version}"


def _runs(python: str) -> bool:
    """Whether it is there, and can make environments."""
    try:
        done = subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def _hashes(python: Path, version: str, seeds: str, consensus: str, venvs: Path) -> dict[str, str]:
    venvs.mkdir(parents=True, exist_ok=True)
    report = venvs / "report.json"
    jobs = str(os.cpu_count() or 1)
    flags = ("--seeds", seeds, "--jobs", jobs, "--consensus", consensus, "--report", report)
    hash_seed = str(SUPPORTED.index(version) + 1)
    done = subprocess.run(
        [python, "-m", "tests.sim.system", *flags],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": hash_seed},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print(done.stdout[-4_000:], done.stderr[-4_000:], sep="\n")
        sys.exit(1)
    hashes: dict[str, str] = json.loads(report.read_text())["hashes"]
    return hashes


if __name__ == "__main__":
    main()
