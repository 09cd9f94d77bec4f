"""What brokers and workers write, where it goes, and that nothing depends on it (X5, F7, F16)."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from raftwork.features import to_broker
from raftwork.messages import PROTOCOL, PeerHello
from tests.strangers.place import Background, Place

TASKS = """
import sys

from raftwork import App

app = App()

@app.task
def quiet(x):
    return x

@app.task
def talk(x):
    print("out", x, flush=True)
    print("err", x, file=sys.stderr)
    return x
"""

#: Standard streams that take nothing, as the shell makes them, and a task that uses them. The pipe
#: is one that both its ends keep open, and full: a task that printed there would wait.
STREAMS = {
    "a full disk": (":", ">/dev/full 2>/dev/full", "talk"),
    "closed": (":", "<&- >&- 2>&-", "talk"),
    "a pipe without a reader": (":", "2> >(true)", "talk"),
    "a pipe that is not read": (
        "mkfifo $$; exec 9<>$$; timeout 1 head -c 65536 /dev/zero >&9",
        "2>&9",
        "quiet",
    ),
}


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Place]:
    """One broker's address, nothing started: no consensus is concerned."""
    made = Place(tmp_path, "raft", names="a")
    yield made
    made.close()


@pytest.mark.parametrize(("before", "streams", "task"), STREAMS.values(), ids=STREAMS.keys())
def test_a_log_that_cannot_be_written_stops_nothing(
    one: Place, before: str, streams: str, task: str
) -> None:
    """F7: `2>/dev/full` kept a broker from starting, without a word."""
    one.write("tasks.py", TASKS)
    for name, command in {
        "a": 'broker --name a --cluster "$CLUSTER" --data data',
        "w1": "worker tasks:app --name w1 --concurrency 1",
    }.items():
        one.write(f"{name}.sh", f"{before}\nexec raftwork {command} {streams}")
    broker, worker = one.start("bash a.sh", "a"), one.start("bash w1.sh", "w1")
    done = one.sh(f"raftwork enqueue tasks.{task} 7 --wait --timeout 60")
    assert (done.code, done.out) == (0, "7\n"), done.err
    assert (worker.stop(), broker.stop()) == (0, 0)


# ---- what brokers say ---------------------------------------------------------------------------


def test_a_first_start_of_two_of_three_says_which_one_is_missing(place: Place) -> None:
    """F16: it was silent, for ever."""
    a, _ = place.broker("a"), place.broker("b")
    wanted = (
        "2 of 3 brokers reachable; the first start needs all: "
        f"c at {place.addresses['c']} does not answer"
    )
    place.wait_until(lambda: wanted in a.text, "a names the broker that is missing")


def test_brokers_say_why_a_leadership_ended_and_what_a_minority_waits_for(place: Place) -> None:
    """X5, F16: who is killed cannot say why; the successor can. Who is left alone says so."""
    brokers = place.brokers()
    first = place.leader()
    brokers.pop(first).kill()

    def second() -> str | None:
        leader: str | None = place.status()["leader"]
        return leader if leader != first else None

    then = place.wait_until(second, "another leader")
    place.wait_until(
        lambda: re.search(r"epoch=\d+ .*active leader of epoch", brokers[then].text), "it says so"
    )
    said = "".join(broker.text for broker in brokers.values())
    assert "election: the connection to the leader closed" in said
    assert brokers.pop(then).stop() == 0
    assert "no longer the leader of epoch" in (place.directory / f"{then}.log").read_text()
    (alone,) = brokers.values()
    place.wait_until(
        lambda: re.search(r"WARNING .* no majority: 1 of 3 brokers reachable", alone.text),
        "the last one says that it waits for a majority",
    )


def test_workers_that_join_and_are_lost_are_told_of_and_json_is_json(one: Place) -> None:
    """X5. Every line of both is a document but the one that says where the broker listens."""
    one.write("tasks.py", TASKS)
    broker = one.broker("a", "--log-format json")
    one.wait_until(lambda: one.status().get("leader"), "a leader")
    worker = one.worker("--log-format json --log-level DEBUG --capture-output --concurrency 1")
    _what_a_task_prints_is_a_record(one, worker)
    worker.kill()
    one.wait_until(lambda: "worker w1 is lost" in broker.text, "the loss is told of")
    assert broker.stop() == 0
    listening, *lines = broker.text.splitlines()
    assert listening == f"listening a {one.addresses['a']}"
    documents = [json.loads(line) for line in lines + worker.text.splitlines()]
    assert {d["node"] for d in documents} == {"a", "w1"}
    events = {d["fields"].get("event"): d for d in documents}
    assert events["worker_joined"]["fields"]["worker"] == "w1"
    lost = events["worker_lost"]
    assert (lost["level"], lost["fields"]["worker"], lost["epoch"]) == ("warning", "w1", 1)


def _what_a_task_prints_is_a_record(one: Place, worker: Background) -> None:
    id_ = one.sh("raftwork enqueue tasks.talk 7").out.strip()
    one.wait_until(lambda: '"out 7"' in worker.text and '"err 7"' in worker.text, "both are there")
    documents = map(json.loads, worker.text.splitlines())
    (record,) = [each for each in documents if each["message"] == "err 7"]
    assert record["logger"] == "raftwork.worker.output"
    expected = {"task_id": id_, "task": "tasks.talk", "queue": "default", "attempt": 1}
    assert record["fields"].items() >= (expected | {"worker": "w1"}).items()


def test_what_strangers_say_neither_forges_lines_nor_fills_the_disk(alone: Place) -> None:
    """A broker that is none of the cluster's knocks twice a second: each time made a line."""
    log = alone.directory / "a.log"
    name = "b\x1b[2J\n2026-01-01T00:00:00.000Z INFO a epoch=9 raftwork.broker: all is well"
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.rcvtimeo = 20_000
        dealer.connect(f"tcp://{alone.addresses['a']}")
        for n in range(50):
            hello = PeerHello(PROTOCOL, "raft", f"{n}{name}", b"m" * 16, b"", 0, False)
            dealer.send(to_broker.encode(hello))
            dealer.recv()  # it was refused
    alone.wait_until(lambda: "refused a broker's hello" in log.read_text(), "it is told of")
    lines = log.read_text().split("\n")[:-1]
    assert len([line for line in lines if "refused a broker's hello" in line]) == 1
    assert all(line.isprintable() for line in lines)
    assert not any("epoch=9 raftwork" in line[:60] for line in lines)


def test_an_unknown_level_is_wrong_usage_and_the_environment_may_choose(one: Place) -> None:
    wrong = one.sh('raftwork broker --name a --cluster "$CLUSTER" --data d --log-level loud')
    assert (wrong.code, "--log-level" in wrong.err) == (2, True)
    one.env |= {"RAFTWORK_LOG_FORMAT": "json", "RAFTWORK_LOG_LEVEL": "error"}
    broker = one.broker("a")
    one.wait_until(lambda: one.status().get("leader"), "a leader")
    assert broker.text == f"listening a {one.addresses['a']}\n"
