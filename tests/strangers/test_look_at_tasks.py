"""Somebody wants to know what becomes of a task, and why it does not run."""

import json
import re
from pathlib import Path
from typing import Any, cast

from tests.strangers.place import Place

PAGE = Path(__file__).parents[2] / "docs" / "howto-look-at-tasks.md"
_FILE = re.compile(r"```python title=\"([\w.]+)\"\n(.*?)```", re.DOTALL)
_PRINTED = re.compile(r"it prints:\n\n```\n(.*?)```", re.DOTALL)
_LINES = re.compile(r"```sh\n(.*?)```", re.DOTALL)

TASKS = """
import os, time
from raftwork import App
app = App()

@app.task
def hold(path):
    while not os.path.exists(path):
        time.sleep(0.01)
    return path
"""


def shown(place: Place, task: str) -> dict[str, Any]:
    said = place.sh(f"raftwork show {task} --json")
    assert said.code == 0, said.err
    return cast("dict[str, Any]", json.loads(said.out))


def test_the_page_works_as_printed(alone: Place) -> None:
    text = PAGE.read_text()
    for name, body in _FILE.findall(text):
        alone.write(name, body)
    alone.worker("--name w1 --concurrency 2")
    done = alone.sh("python look.py")
    (printed,) = _PRINTED.findall(text)
    assert done.out == printed, done.err
    for line in (line for block in _LINES.findall(text) for line in block.splitlines()):
        said = alone.sh(line)
        assert said.code == 0, (line, said)
        assert said.out, line
    tagged = alone.sh("raftwork enqueue tasks.invoice nine --tag customer=9").out.strip()
    assert shown(alone, tagged)["tags"] == {"customer": "9"}
    (scheduled,) = json.loads(alone.sh("raftwork tasks --state scheduled --json").out)
    task = alone.sh(f"raftwork show {scheduled['id']}")
    assert "waits: its time is " in task.out, task
    assert "tag customer=7" in task.out
    assert "called with ('seven')" in task.out


def test_why_a_task_waits_changes_with_what_holds_it(alone: Place) -> None:
    alone.write("tasks.py", TASKS)
    for task in ("one", "two", "three"):
        assert alone.sh(f"raftwork enqueue tasks.hold {task} --id {task}").code == 0

    def why(task: str) -> list[str]:
        return [reason["why"] for reason in shown(alone, task)["waits"]]

    assert why("three") == ["no worker", "place"]
    assert "2 tasks are before it" in alone.sh("raftwork show three").out
    alone.worker("--name w1 --concurrency 1")
    alone.wait_until(lambda: shown(alone, "one")["status"] == "running", "it runs")
    alone.wait_until(lambda: "busy" in why("two"), "the slot is taken")
    assert "all 1 slots of the workers of its queue are busy with 1 × tasks.hold" in (
        alone.sh("raftwork show three").out
    )
    alone.wait_until(lambda: shown(alone, "one")["age"], "how long it runs is known")
    said = alone.sh("raftwork tasks --state running --json")
    assert said.code == 0, said
    (running,) = json.loads(said.out)
    assert (running["id"], running["worker"], running["attempt"]) == ("one", "w1", 1)
    alone.write("one", "")
    alone.wait_until(lambda: shown(alone, "one")["status"] == "succeeded", "it ends")
    ended = shown(alone, "one")
    assert (ended["name"], ended["result"], ended["worker"]) == ("tasks.hold", "one", "w1")
    assert ended["run"] > 0 and ended["ended"] and not ended["waits"]
    alone.write("two", "")
    alone.write("three", "")


def test_a_task_that_is_not_known_is_said_to_be_unknown(alone: Place) -> None:
    said = alone.sh("raftwork show nosuch")
    assert said.code == 1
    assert "UnknownTask: no task has the id 'nosuch'" in said.err
    assert alone.sh("raftwork tasks").err.strip() == "no such tasks"
    assert alone.sh("raftwork tasks --tag customer").code == 2
    assert alone.sh("raftwork tasks --since yesterday").code == 2
