"""`raftwork dev`, as the first thing a stranger types: one command, then an edit, then Ctrl-C."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import ODD_NAME
from tests.strangers.place import Place, blocks

TASKS = """
from raftwork import App
app = App()

@app.task(queue="sums")
def add(x, y):
    print("adds", x, y)
    return x + y
"""
ENQUEUE = "raftwork enqueue tasks.add 1 2 --queue sums --wait --timeout 60"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    directory = tmp_path / ODD_NAME
    directory.mkdir()
    made = Place(directory, "raft", names="a")
    made.write("tasks.py", TASKS)
    yield made
    made.close()


def test_one_command_runs_tasks_and_edits_and_ends_with_ctrl_c(place: Place) -> None:
    dev = place.start("raftwork dev tasks:app", "dev")
    assert place.sh(ENQUEUE).out == "3\n"
    place.wait_until(lambda: "worker | adds 1 2" in dev.text, "what the task printed")
    assert f"broker | listening dev {place.addresses['a']}" in dev.text

    second = place.sh("raftwork dev tasks:app")
    assert second.code == 1
    assert f"process {dev.pid}, its broker at {place.addresses['a']}" in second.err

    place.write("tasks.py", TASKS.replace("x + y", "x * 10 + y"))
    place.wait_until(lambda: dev.text.count("worker dev runs 1 task ") == 2, "a new worker")
    place.wait_until(lambda: place.sh(ENQUEUE).out == "12\n", "the new code")

    place.write("tasks.py", "def")
    place.wait_until(lambda: "starts again when a file changes" in dev.text, "that it is broken")
    place.write("tasks.py", TASKS)
    place.wait_until(lambda: place.sh(ENQUEUE).out == "3\n", "the mended code")

    dev.signal(signal.SIGINT)
    place.wait_until(lambda: dev.code == 0, "Ctrl-C ends it")
    assert not (place.directory / ".raftwork/broker.pid").exists()  # it ended by itself
    place.wait_until(lambda: place._left() == [], "all that it started has ended")


def test_the_page_works_as_printed(place: Place) -> None:
    page = blocks("howto-dev.md")
    (tasks,) = [text for _, title, text in page if title == "tasks.py"]
    lines = [line for language, _, text in page if language == "sh" for line in text.splitlines()]
    place.write("tasks.py", tasks)
    dev = place.start(next(line for line in lines if line.startswith("raftwork dev")), "dev")
    done = place.sh(next(line for line in lines if line.startswith("raftwork enqueue")))
    assert done.out == "3\n", done
    place.wait_until(lambda: "worker | adds 1 2" in dev.text, "what the task printed")


def test_killed_it_leaves_nothing_behind_and_its_tasks_on_disk(place: Place) -> None:
    dev = place.start("raftwork dev tasks:app", "dev")
    assert place.sh(ENQUEUE.replace("--wait", "--id once --wait")).out == "3\n"
    dev.kill()
    place.wait_until(lambda: place._left() == [], "the broker and the worker end, too")
    again = place.start("raftwork dev tasks:app", "again")
    assert place.sh("raftwork result once --wait --timeout 60").out == "3\n"
    again.signal(signal.SIGINT)
    place.wait_until(lambda: again.code == 0, "Ctrl-C ends it")


@pytest.mark.parametrize(
    ("typed", "env", "told"),
    [
        ("tasks.py", "", "write tasks:app"),
        ("tasks:app", "RAFTWORK_BROKERS=10.0.0.5:7701", "on this machine only"),
        ("tasks:app --queues a,,b", "", "queue must have 1 to"),
    ],
)
def test_wrong_usage_is_named_before_anything_starts(
    place: Place, typed: str, env: str, told: str
) -> None:
    done = place.sh(f"{env} raftwork dev {typed}")
    assert (done.code, done.out) == (2, "")
    assert told in " ".join(done.err.split())
    assert not (place.directory / ".raftwork").exists()


def test_a_taken_port_ends_it_with_the_reason(place: Place) -> None:
    place.broker("a")
    place.leader()
    done = place.sh("raftwork dev tasks:app")
    assert done.code == 1
    assert "Address already in use" in done.err or "in use" in done.err
    assert "dev | the broker ended with status 1; --port N is for a second one" in done.err
    assert "worker |" not in done.err, "it would work for somebody else's broker"


def test_a_directory_that_cannot_be_made_is_named(place: Place) -> None:
    place.write("a file", "")
    done = place.sh("raftwork dev tasks:app --data 'a file/data'")
    assert (done.code, done.err) == (1, "Error: NotADirectoryError: Not a directory: a file/data\n")
