"""`python -m tests.suites`: the tests of other projects, with Raftwork in the place of theirs.

It makes an environment of its own, of a Python that brings its tests along, and installs what
requirements.txt names. Each suite runs twice: quietly, and with whoever leads killed every few
seconds. docs/suites.md has what came out.
"""

import os
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import click

from tests.suites.catalogue import SUITES, Suite
from tests.suites.run import ROOT, Told, run

PAGE = ROOT / "docs" / "suites.md"
_MARK = "<!-- counts -->\n"


@click.command()
@click.option("--only", default="", help="Suites whose names have this in them.")
@click.option("--kill", "every", default=3.0, show_default=True, help="s between two kills.")
@click.option("--python", default="", help="One that has its tests (default: the newest here).")
@click.option("--write", is_flag=True, help="Write the counts into docs/suites.md.")
def main(only: str, every: float, python: str, write: bool) -> None:
    """Exit 1 if too few pass, or one fails without a known reason."""
    if not _has_tests(sys.executable):
        sys.exit(
            subprocess.run([_environment(python), "-m", "tests.suites", *sys.argv[1:]]).returncode
        )
    rows: dict[str, str] = {}
    good = True
    for suite in (each for each in SUITES if only in each.name):
        with tempfile.TemporaryDirectory() as scratch:
            quiet = run(suite, Path(scratch) / "quiet", None)
            good &= _tell(suite, "quietly", quiet)
            killed = run(suite, Path(scratch) / "killed", every)
            good &= _tell(suite, f"with {killed.kills} leaders killed", killed)
        rows[suite.what] = _row(suite, quiet, killed)
    if write:
        _write(rows)
    sys.exit(not good)


def _write(rows: dict[str, str]) -> None:
    """The rows, and of the suites that did not run those that were there."""
    text, _, table = PAGE.read_text().partition(_MARK)
    old = {line[2:].partition(" | ")[0]: line for line in table.splitlines() if line[:2] == "| "}
    kept = [(old | rows).get(suite.what) for suite in SUITES]
    PAGE.write_text(text + _MARK + "\n".join(["", *_HEAD, *filter(None, kept)]) + "\n")


def _tell(suite: Suite, how: str, told: Told) -> bool:
    print(f"{suite.name} {how}: {told.words} passed in {told.seconds:.0f} s", flush=True)
    unknown = [test for test in told.failed if suite.reason(test) is None]
    for test in told.failed:
        print(f"    {test}: {suite.reason(test) or 'for no known reason'}")
    return told.passed >= suite.least and not unknown


_HEAD = (
    "| tests | of | passed | with a leader killed every 3 s | skipped | what does not pass |",
    "|---|---|---|---|---|---|",
)


def _row(suite: Suite, quiet: Told, killed: Told) -> str:
    whys: dict[str, list[str]] = {}
    for test in dict.fromkeys((*quiet.failed, *killed.failed)):
        why = suite.reason(test) or "for no known reason"
        whys.setdefault(why, []).append(test.rpartition("::")[2].replace("|", "\\|"))
    missing = "; ".join(f"{why}: `{'`, `'.join(tests)}`" for why, tests in whys.items())
    cells = suite.what, _version(suite), quiet.words, killed.words, quiet.skipped, missing
    return f"| {' | '.join(map(str, cells))} |"


def _version(suite: Suite) -> str:
    if suite.package is None:
        return "CPython " + ".".join(map(str, sys.version_info[:3]))
    return f"{suite.package} {metadata.version(suite.package)}"


# ---- the environment -----------------------------------------------------------------------------


def _environment(python: str) -> Path:
    """A Python with its tests, Raftwork, and the projects."""
    home = Path(sys.prefix) / "suites"
    made, ready = home / "bin" / "python", home / ".ready"
    wanted = Path(__file__).with_name("requirements.txt")
    if not ready.exists() or ready.stat().st_mtime < wanted.stat().st_mtime:
        found = python or next(filter(_has_tests, _candidates()), None)
        if found is None:
            raise click.ClickException(
                "no Python here brings test.test_concurrent_futures along (3.12 and newer, with"
                " their tests): name one by --python"
            )
        subprocess.run([found, "-m", "venv", "--clear", home], check=True)
        pip = [str(made), "-m", "pip", "install", "--quiet"]
        lock = ROOT / "requirements.lock"
        subprocess.run([*pip, "--no-deps", "-r", str(lock)], check=True)
        subprocess.run([*pip, "-r", str(wanted)], check=True)
        here = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
        subprocess.run([*pip, *here], check=True)
        ready.touch()
    return made


def _candidates() -> list[str]:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [*map(str, sorted(pyenv.glob("3.1*/bin/python"), reverse=True)), "python3"]


def _has_tests(python: str) -> bool:
    """Whether it brings the tests of executors along, and has Raftwork if it is this one."""
    program = "import sys, test.test_concurrent_futures.util; assert sys.version_info >= (3, 12)"
    try:
        done = subprocess.run([python, "-c", program], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


if __name__ == "__main__":
    main()
