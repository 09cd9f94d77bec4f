"""Somebody wants tasks again and again, and deploys new code while the old still runs."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

from tests.strangers.place import Place

PAGE = Path(__file__).parents[2] / "docs" / "howto-schedules.md"
_FILE = re.compile(r"```python title=\"([\w.]+)\"\n(.*?)```", re.DOTALL)
_LINES = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def shown(place: Place, id_: str) -> dict[str, Any]:
    """Empty if there is no such schedule."""
    done = place.sh(f"raftwork schedule show {id_} --json")
    document: dict[str, Any] = json.loads(done.out) if done.code == 0 else {}
    return document


def test_the_page_works_as_printed(alone: Place) -> None:
    for name, text in _FILE.findall(PAGE.read_text()):
        alone.write(name, text)
    worker = alone.worker("--concurrency 2", target="reports:app")
    alone.wait_until(lambda: shown(alone, "nightly"), "the worker has created what is declared")

    def neighbours() -> bool:
        """Two ticks a second apart have run; a busy machine may leave one out."""
        seconds = [int(each) for each in re.findall(r"alive \S+:(\d\d)\+00:00", worker.text)]
        return any((b - a) % 60 == 1 for a, b in itertools.pairwise(seconds))

    alone.wait_until(neighbours, "two ticks have run")
    lines = [line for block in _LINES.findall(PAGE.read_text()) for line in block.splitlines()]
    assert len(lines) == 8
    said = {line: alone.sh(line) for line in lines}
    assert not [each for each in said.items() if each[1].code]
    triggered = said["raftwork schedule trigger nightly"].out.strip()
    result = alone.sh(f"raftwork result {triggered} --wait --timeout 60")
    assert "the report of" in result.out, result
    done = alone.sh("python by_hand.py")
    assert done.out.splitlines() == ["monthly 1 0", "6", "the report of 01 June 2026"], done.err
    assert worker.stop() == 0


def test_old_and_new_code_that_start_in_turns_leave_the_schedules_alone(alone: Place) -> None:
    code = (
        "from raftwork import App\n\napp = App()\n\n\n"
        '@app.schedule("poll", every={every})\n@app.task\ndef poll(): ...\n'
    )
    for name, every in (("old/feeds.py", 3600), ("new/feeds.py", 1800)):
        alone.write(name, code.format(every=every))

    def start(directory: str) -> str:
        name = f"{directory}-{len(said)}"
        worker = alone.start(f"env -C {directory} raftwork worker feeds:app --name {name}", name)
        alone.wait_until(lambda: "joined the leader" in worker.text, f"{name} works")
        alone.wait_until(lambda: shown(alone, "poll"), "its schedule is there")
        if directory == "new" and len(said) < 2:
            alone.wait_until(lambda: "not as this code declares" in worker.text, "it differs")
        assert worker.stop() == 0
        return worker.text

    said: list[str] = []
    said.append(start("old"))
    first = shown(alone, "poll")
    assert (first["every"], first["declared_by"]) == (3600.0, "feeds:app")
    said.append(start("new"))
    assert shown(alone, "poll") == first
    applied = alone.sh("cd new && raftwork schedule apply feeds:app --prune")
    assert applied.out == "poll changed\n", applied
    second = shown(alone, "poll")
    assert second["every"] == 1800.0
    for directory in ("old", "new", "old"):
        said.append(start(directory))
        assert shown(alone, "poll") == second
    assert "created schedules that were missing: poll" in said[0]
    assert alone.sh("cd new && raftwork schedule apply feeds:app").out == "poll same\n"
