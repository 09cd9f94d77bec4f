"""Flows as their page shows them, and while the leader is killed."""

import json
import re
from pathlib import Path

from tests.strangers.place import Background, Place

PAGE = Path(__file__).parents[2] / "docs" / "howto-flows.md"
_LINES = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_FILE = re.compile(r"```python title=\"([\w.]+)\"\n(.*?)```", re.DOTALL)


def _type(place: Place) -> None:
    for name, text in _FILE.findall(PAGE.read_text()):
        place.write(name, text)


def test_the_page_on_flows_works_as_printed(alone: Place) -> None:
    _type(alone)
    alone.worker("--concurrency 2")
    done = alone.sh("python flows.py")
    assert done.out.splitlines() == [
        "16",
        "20",
        "[0, 2, 4, 6, 8]",
        "order-7 9 4",
        "ValueError: no",
        "Failure in tolerant",
    ], done.err
    grown = alone.sh("python growing.py")
    assert grown.out.splitlines() == ["13", "3 succeeded"], grown.err
    many = alone.sh("python many.py")
    assert many.out.splitlines() == ["['log: 1 of 2', 'log: 2 of 2']", "9900"], many.err


def test_the_page_on_broadcasts_works_as_printed(alone: Place) -> None:
    _type(alone)
    workers = [alone.worker("--concurrency 2", name=name) for name in ("w1", "w2")]
    done = alone.sh("python everywhere.py")
    nodes = [(f"reload-prices/{at}", "succeeded") for at in ("1.1", "1.2", "1")]
    assert done.out.splitlines() == [
        "['prices at w1', 'prices at w2']",
        str(nodes),
        "list in rates",
        "[['texts at w1', 'texts at w2']]",
    ], done.err
    for at, worker in enumerate(workers, 1):
        alone.wait_until(lambda: f"reloaded the prices as {at} of 2" in worker.text, "it is told")  # noqa: B023


def test_the_page_on_waiting_for_people_works_as_printed(alone: Place) -> None:
    _type(alone)
    worker = alone.worker("--concurrency 2")
    done = alone.sh("python order.py")
    told = [
        (f"order-9/{at}", word) for at, word in enumerate(("succeeded", "failed", "cancelled"), 1)
    ]
    assert done.out.splitlines() == [
        "True",
        "8 shipped, approved by Ada",
        "TimeoutError: the signal approved did not come within 200 ms",
        str(told),
    ], done.err
    alone.wait_until(lambda: "refunded the charge of 50" in worker.text, "it is undone")
    alone.wait_until(lambda: "report: Failure(type='TimeoutError'" in worker.text, "a report")
    assert "refunded the charge of 100" not in worker.text
    lines = [line for block in _LINES.findall(PAGE.read_text()) for line in block.splitlines()]
    said = [alone.sh(line) for line in lines]
    assert [each.code for each in said] == [0] * 6, said
    assert "order-9  failed, 3 nodes" in said[0].out
    document = json.loads(said[1].out)
    assert document["nodes"][1] == {
        "id": "order-9/2",
        "name": None,
        "status": "failed",
        "needs": ["order-9/1"],
    }
    assert said[3].out == "order-9~2\n"
    assert said[4].out.startswith("order-9~2/2  join  without code"), said[4]


_JOBS = """
import os
from pathlib import Path

from raftwork import App, current

app = App(timeout=30)
RAN = Path("ran")


def note(what):
    with RAN.open("a") as file:
        file.write(f"{what} {current().id}\\n")


@app.task
def member(i):
    note("member")
    return i


@app.task
def body(values, former):
    note("body")
    assert values == list(range(len(values))), values
    return former + 1
"""

_FIFTY = """
from jobs import app, body, member
from raftwork import chain, group

flows = []
for each in range(8):
    with app.flow(f"f{each}") as flow:
        former = 0
        for _ in range(6):
            before = [former] if former else []
            members = [flow.add(member, i, after=before) for i in range(10)]
            former = flow.add(body, members, former)
    flows.append(flow)
    print("submitted", flow.id, flush=True)
for flow in flows:
    print("ended", flow.result(60), flush=True)
"""


def test_no_body_is_lost_or_run_twice_while_the_leader_is_killed(place: Place) -> None:
    place.write("jobs.py", _JOBS)
    place.write("fifty.py", _FIFTY)
    brokers = place.brokers()
    place.worker("--pool thread --concurrency 4", target="jobs:app")
    place.trust_workers()
    asking = place.start("python fifty.py", "asking")
    place.wait_until(lambda: "submitted f2" in asking.text, "some flows are in")
    old = place.leader()
    brokers[old].kill()
    place.wait_until(lambda: asking.code is not None, "all flows have ended")
    assert asking.code == 0, asking.text
    assert asking.text.count("ended 6") == 8, asking.text
    ran = (place.directory / "ran").read_text().splitlines()
    # A worker that lives ran nothing twice: 8 flows of 6 chords of 10.
    assert len(ran) == len(set(ran)) == 8 * 6 * 11


_EVERYWHERE = """
import time
from pathlib import Path

from raftwork import App, current

app = App(timeout=30)


@app.task
def hold(name):
    with Path("began").open("a") as file:
        file.write(f"{name} {current().worker}\\n")
    while not Path(name).exists():
        time.sleep(0.01)
    return [current().worker, *current().shard]
"""

_ASK = """
import sys

from everywhere import app, hold

with app:
    for name in sys.argv[1:]:
        print(hold.broadcast(name).enqueue(id=name).id)
"""


def test_a_broadcast_is_for_the_workers_that_were_there_one_of_which_is_killed(
    place: Place,
) -> None:
    place.write("everywhere.py", _EVERYWHERE)
    place.write("ask.py", _ASK)
    brokers = place.brokers()
    flags = "--pool thread --concurrency 1"

    def start(name: str) -> Background:
        return place.worker(flags, target="everywhere:app", name=name)

    def began(*lines: str) -> None:
        place.wait_until(lambda: _lines(place, "began") == sorted(lines), f"{lines} have begun")

    first, _ = start("w1"), start("w2")
    assert place.sh("python ask.py one").out == "one\n"
    began("one w1", "one w2")
    # It is started again under its name: what it was lost with is its own.
    first.kill()
    first = start("w1")
    began("one w1", "one w1", "one w2")
    place.write("one", "")
    done = place.sh("raftwork result one --wait --timeout 60")
    assert json.loads(done.out) == [["w1", 0, 2], ["w2", 1, 2]], done

    # A new leader asks no worker later than it could say hello.
    brokers[place.leader()].kill()
    assert place.sh("python ask.py two three").out == "two\nthree\n"
    began("one w1", "one w1", "one w2", "two w1", "two w2")
    waits = place.sh("raftwork show three/1.1")
    assert "it waits for worker w1" in waits.out, waits
    first.kill()
    for name in ("two", "three"):
        place.write(name, "")
    done = place.sh("raftwork result three --wait --timeout 60")
    assert (done.code, "the worker that it was meant for is gone" in done.err) == (1, True), done
    left = place.sh("raftwork result three/1.2 --wait --timeout 60")
    assert json.loads(left.out) == ["w2", 1, 2], left
    assert "three w1" not in _lines(place, "began")


def _lines(place: Place, name: str) -> list[str]:
    path = place.directory / name
    return sorted(path.read_text().splitlines()) if path.exists() else []
