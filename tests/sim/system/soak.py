"""Many seeds over hours: what is done stands in a file, so that a soak goes on where it ended."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.sim.system.runs import run_all

#: Seeds between two lines of the file: what an interruption costs.
STRIDE = 100


@dataclass(frozen=True, slots=True)
class Stride:
    """Some seeds in a row: how far they reached, and those that failed, with what was found."""

    first: int
    last: int
    reached: dict[str, int]
    failed: dict[str, str]


def soak(first: int, last: int, jobs: int, consensus: str, progress: Path) -> Iterator[Stride]:
    """Run the seeds of [first, last] that `progress` does not hold yet, a stride at a time."""
    done = {stride.first for stride in read(progress)}
    for start in range(first, last + 1, STRIDE):
        if start in done:
            continue
        end = min(start + STRIDE - 1, last)
        reached: Counter[str] = Counter()
        failed: dict[str, str] = {}
        for each in run_all(range(start, end + 1), jobs, consensus):
            reached.update(each.reached)
            if each.failure:
                failed[str(each.seed)] = f"{each.checker}: {each.failure}"
        stride = Stride(start, end, dict(sorted(reached.items())), failed)
        with progress.open("a") as file:
            file.write(json.dumps(asdict(stride)) + "\n")
        yield stride


def read(progress: Path) -> list[Stride]:
    """What an earlier soak left; a line that an interruption cut off is run again."""
    if not progress.exists():
        return []
    whole = [line for line in progress.read_text().splitlines(keepends=True) if line[-1] == "\n"]
    progress.write_text("".join(whole))
    return [Stride(**json.loads(line)) for line in whole]
