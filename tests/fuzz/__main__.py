"""`python -m tests.fuzz`: coverage-guided fuzzing of every decoder with atheris, one after another.

What it finds is kept: `--only NAME --again FILE` decodes such a file once more.
"""

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.fuzz.decoders import DECODERS, check, corpus

ROOT = Path(__file__).resolve().parents[2]
#: Good inputs to begin from.
_SEEDS = 100
_RUNS = re.compile(r"number_of_executed_units: (\d+)")


@click.command()
@click.option("--for", "seconds", default=60.0, show_default=True, help="For all of them together.")
@click.option("--only", default="", help="Those whose names contain this.")
@click.option("--again", type=click.Path(exists=True, path_type=Path), help="Decode FILE once.")
@click.option("--found", type=click.Path(path_type=Path), default=Path("found"), show_default=True)
def main(seconds: float, only: str, again: Path | None, found: Path) -> None:
    """Exit 1 if a decoder raises anything else than it says it does."""
    names = [name for name in DECODERS if only in name]
    if not names:
        raise click.UsageError(f"no decoder's name contains {only!r}")
    if again is not None:
        for name in names:
            print(f"{name}: {'read' if check(name, again.read_bytes()) else 'refused'}")
        return
    failed = [name for name in names if not _fuzz(name, seconds / len(names), found)]
    print(f"{len(names)} decoders, {len(failed)} failed")
    sys.exit(bool(failed))


def _fuzz(name: str, seconds: float, found: Path) -> bool:
    """In a process of its own: the fuzzer ends the one it runs in."""
    found.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="raftwork-fuzz-") as directory:
        for number, data in enumerate(corpus(name, _SEEDS)):
            (Path(directory) / str(number)).write_bytes(data)
        flags = (f"-max_total_time={max(1, round(seconds))}", f"-artifact_prefix={found}/")
        command = [sys.executable, "-m", "tests.fuzz.one", name, "-print_final_stats=1", *flags]
        done = subprocess.run(
            [*command, "-max_len=4096", directory], cwd=ROOT, capture_output=True, text=True
        )
    runs = _RUNS.search(done.stderr)
    print(f"{name:32} {int(runs[1]) if runs else 0:>10} inputs", flush=True)
    if done.returncode:
        print(done.stdout[-4_000:], done.stderr[-4_000:], sep="\n")
    if not any(found.iterdir()):
        found.rmdir()
    return done.returncode == 0


if __name__ == "__main__":
    main()
