"""Every line on the right of the page for Celery's users does what it says, or at least runs."""

import json
import re
from functools import partial
from pathlib import Path

from tests.strangers.place import Background, Place

PAGE = Path(__file__).parents[2] / "docs" / "from-celery.md"
_FILE = re.compile(r"```python title=\"([\w.]+)\"\n(.*?)```", re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")

#: How a line is run: as a task's code, over a function, or as a program's own.
BODY, DECORATOR = re.compile(r"raise |return |current\(\)"), re.compile(r"@app\.")

#: From the program, where its options are known.
_ENQUEUE = """python -c 'import shop; shop.body_{0}.options(id="body-{0}").delay()'"""

PROGRAM = """
import asyncio, json, sys
from datetime import UTC, datetime, timedelta
from raftwork import App, chain, chord, group
from shop import add, app, total

with app.flow("f") as flow:
    flow.add(add, 2, 3)
names = {"App": App, "UTC": UTC, "add": add, "app": app, "chain": chain, "chord": chord,
         "datetime": datetime, "group": group, "run": add.enqueue(2, 3), "timedelta": timedelta,
         "total": total}
for line in json.load(sys.stdin):
    print(line, flush=True)
    if line.startswith("await "):
        exec(f"async def main(): return {line}", names)
        asyncio.run(names["main"]())
    else:
        eval(line, names)
assert add.enqueue(2, 3).result(60) == 5
"""


def right() -> list[str]:
    """The lines in the second column of each table."""
    rows = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [code for row in rows for code in _CODE.findall(row[2])]


def made(lines: list[str]) -> str:
    """The page's file with a function under each decorator, and a task around each body."""
    files: list[tuple[str, str]] = _FILE.findall(PAGE.read_text())
    ((_, text),) = files
    text += "\nfrom raftwork import Reject, Resume, Retry, current, replace\n"
    for number, line in enumerate(lines):
        if DECORATOR.match(line):
            task = "" if line.startswith("@app.task") or "app.on_" in line else "@app.task\n"
            text += f"\n{line}\n{task}def made_{number}(*_): pass\n"
        elif BODY.match(line):
            # A second attempt would only raise again.
            text += f"\n@app.task(retries=1)\ndef body_{number}():\n"
            text += f"    if current().attempt == 1:\n        {line}\n"
    return text


def test_every_line_runs(alone: Place) -> None:
    lines = right()
    assert len(lines) >= 60
    alone.write("shop.py", made(lines))
    alone.write("program.py", PROGRAM)
    alone.worker("--pool thread --concurrency 4", target="shop:app")
    own = [x for x in lines if not (x.startswith("raftwork ") or BODY.match(x) or x[0] == "@")]
    done = alone.sh("python program.py", stdin=json.dumps(own))
    assert done.code == 0, (done.out.splitlines()[-1:], done.err)

    for number, line in enumerate(lines):
        if BODY.match(line) and not DECORATOR.match(line):
            alone.sh(_ENQUEUE.format(number))
            _ends_as_it_says(alone, f"body-{number}", line)
    workers = [line for line in lines if line.startswith("raftwork worker ")]
    for number, line in enumerate(workers):
        started = alone.start(line, f"worker {number}")
        alone.wait_until(partial(_joined, started), line)
        assert started.stop() == 0, started.text
    for line in lines:
        if line.startswith("raftwork ") and line not in workers:
            done = alone.sh(line)
            assert done.code == 0, (line, done)


def _joined(worker: Background) -> bool:
    return "joined the leader" in worker.text


def _held(place: Place, task: str) -> list[str]:
    shown = json.loads(place.sh(f"raftwork show {task} --json").out)
    return [reason["why"] for reason in shown["waits"]]


def _ends_as_it_says(place: Place, task: str, line: str) -> None:
    if "Retry" in line:  # in half a minute
        place.wait_until(lambda: _held(place, task) == ["retry"], "it waits for its next attempt")
        return
    result = place.sh(f"raftwork result {task} --wait --timeout 60")
    assert result.code == ("Reject" in line), (line, result)
