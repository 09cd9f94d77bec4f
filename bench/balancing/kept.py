"""Worlds that ran already under the same code: a run that was cut short goes on where it was."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from bench.balancing.results import Result
from bench.harness import OUT, ROOT

if TYPE_CHECKING:
    from bench.balancing.scenes import Scene

PATH = OUT / "balancing-worlds.jsonl"
PRODUCT = ROOT / "src" / "raftwork" / "broker"
#: What a world's outcome depends on. With any other, what is kept says nothing.
SOURCES = (
    *sorted((PRODUCT / "placement" / "balancers").glob("*.py")),
    *(Path(__file__).with_name(f"{name}.py") for name in ("dolphin", "scenes", "world")),
)
LOAD = PRODUCT / "workers" / "load.py"  # under `weighted` only


def _digest(*paths: Path) -> str:
    return blake2b(b"".join(map(Path.read_bytes, paths)), digest_size=8).hexdigest()


#: As it is now, before anybody edits it: of `weighted`, and of the others.
CODES = {True: _digest(*SOURCES, LOAD), False: _digest(*SOURCES)}

Run = tuple["Scene", str, int]  # strategy, seed


class Kept:
    """By run; on disk from the moment it is known."""

    def __init__(self) -> None:
        lines = PATH.read_text().splitlines() if PATH.exists() else []
        self._results = {
            (code, run): Result(*result) for code, run, result in map(json.loads, lines)
        }

    def get(self, run: Run) -> Result | None:
        return self._results.get(self._key(run))

    def add(self, run: Run, result: Result) -> None:
        OUT.mkdir(exist_ok=True)
        with PATH.open("a") as file:
            file.write(json.dumps([*self._key(run), result]) + "\n")

    def _key(self, run: Run) -> tuple[str, str]:
        return CODES[run[1] == "weighted"], str(run)
