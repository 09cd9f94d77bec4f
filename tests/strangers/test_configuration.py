"""A broker and a worker that are told everything by a file, as docs/configuration.md has it."""

import re
from pathlib import Path

from tests.strangers.place import Place

PAGE = (Path(__file__).parents[2] / "docs/configuration.md").read_text()
TASKS = """
from raftwork import App
app = App()
@app.task
def add(x, y): return x + y
"""


def test_the_examples_of_the_page_work(place: Place) -> None:
    """The file and each command, with this place's port and nothing in the environment."""
    (toml,) = re.findall(r"```toml title=.*?\n(.*?)```", PAGE, re.DOTALL)
    broker, worker = re.findall(
        r"^raftwork .* --config raftwork.toml .*\d$|^raftwork broker .*", PAGE, re.MULTILINE
    )
    del place.env["RAFTWORK_BROKERS"]
    toml = toml.replace("127.0.0.1:7701", place.addresses["a"])
    place.write("etc/raftwork.toml", toml.replace('"raft"', f'"{place.consensus}"'))
    place.write("tasks.py", TASKS)
    config = "etc/raftwork.toml"
    place.env["BROKERS"] = place.addresses["a"]

    check = place.sh(f"{worker} --check-config".replace("raftwork.toml", config))
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    expected = shown.replace("127.0.0.1:7701", place.addresses["a"]).replace(
        "raftwork.toml", config
    )
    assert check.out.split() == expected.split()

    place.start(broker.replace("raftwork.toml", config), "a")
    started = place.start(worker.replace("raftwork.toml", config), "w")
    done = place.sh('raftwork enqueue tasks.add 1 2 --queue mail --wait --brokers "$BROKERS"')
    assert (done.code, done.out) == (0, "3\n"), done.err + started.text
    assert (place.directory / "etc/data/broker.pid").exists(), "beside the file"


def test_a_key_that_is_mistyped_is_refused(place: Place) -> None:
    place.write("raftwork.toml", "[worker]\nconcurency = 4\n")
    done = place.sh("raftwork worker tasks:app --config raftwork.toml")
    assert done.code == 2
    assert "[worker] has no key 'concurency'; did you mean concurrency?" in done.err
    assert "[worker] has no key 'concurency'; did you mean concurrency?" in PAGE


def test_a_programs_brokers_go_before_a_files_and_a_flags_before_both(place: Place) -> None:
    place.write("tasks.py", TASKS.replace("App()", 'App("127.0.0.1:2")'))
    place.write("raftwork.toml", '[worker]\nbrokers = ["127.0.0.1:3"]\n')
    del place.env["RAFTWORK_BROKERS"]
    for flag, at in ((" --brokers 127.0.0.1:1", "127.0.0.1:1"), ("", "127.0.0.1:2")):
        worker = place.start(f"raftwork worker tasks:app --config raftwork.toml{flag}", at)
        place.wait_until(lambda w=worker: "brokers: " in w.text, "it has started")  # type: ignore[misc]
        assert f"brokers: {at}, pid: " in worker.text
        worker.stop()
