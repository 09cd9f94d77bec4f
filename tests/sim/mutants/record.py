"""What the last hunt for each mutant found, in a file: all take hours, which need not be in a row.

What was never hunted as it is now comes first, then what was hunted the longest time ago. A line is
one mutant's; the file is tracked, so that whoever has an hour goes on where the last one ended.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from zlib import crc32

from tests.sim.mutants.hunt import Catch, hunt
from tests.sim.mutants.mutant import Mutant

RECORD = Path(__file__).with_name("record.jsonl")


@dataclass(frozen=True, slots=True)
class Hunted:
    """One hunt, with `seeds` of 0 and no checker if the mutant survived."""

    mutant: str
    #: The CRC of what it changed: of another change this says nothing.
    changes: int
    seeds: int
    checker: str
    #: How the last seed fails without the mutant: then nothing was shown.
    honest: str
    #: CPU time.
    seconds: int
    commit: str
    at: str

    @property
    def caught(self) -> bool:
        return self.seeds > 0 and not self.honest


def hunted(mutant: Mutant, commit: str) -> Hunted:
    """Hunt it now."""
    began = time.process_time()
    catch = hunt(mutant) or Catch(0, "", "")
    return Hunted(
        mutant=mutant.name,
        changes=_changes(mutant),
        seeds=catch.seeds,
        checker=catch.checker,
        honest=catch.honest,
        seconds=round(time.process_time() - began),
        commit=commit,
        at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
    )


def read(path: Path) -> dict[str, Hunted]:
    """By the mutant's name."""
    if not path.exists():
        return {}
    found = (Hunted(**json.loads(line)) for line in path.read_text().splitlines())
    return {each.mutant: each for each in found}


def write(path: Path, known: Iterable[Hunted]) -> None:
    """All at once: an interruption costs none of what was found."""
    lines = sorted(json.dumps(asdict(each)) + "\n" for each in known)
    new = path.with_name(f"{path.name}.new")
    new.write_text("".join(lines))
    os.replace(new, path)


def valid(mutants: Sequence[Mutant], known: dict[str, Hunted]) -> Iterator[Hunted]:
    """Of these mutants as they are now, what their last hunts found."""
    for mutant in mutants:
        found = known.get(mutant.name)
        if found is not None and found.changes == _changes(mutant):
            yield found


def in_turn(mutants: Sequence[Mutant], known: dict[str, Hunted]) -> list[Mutant]:
    """Those that have waited longest first."""
    last = {found.mutant: found.at for found in valid(mutants, known)}
    return sorted(mutants, key=lambda mutant: last.get(mutant.name, ""))


def commit() -> str:
    """What is checked out, with a "+" if it has changes that are not committed."""
    run = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=RECORD.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


def _changes(mutant: Mutant) -> int:
    return crc32(repr((mutant.edits, mutant.consensus, mutant.real)).encode())
