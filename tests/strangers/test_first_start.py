"""The first start, in the wrong order and with typos: each is told with what to do about it."""

import pytest

from tests.strangers.place import Place

EMPTY = "from raftwork import App\napp = App()\n"


def test_a_client_before_its_brokers_is_told_what_is_missing(alone: Place) -> None:
    """Nothing was said for ten seconds, and `status` spoke of the most advanced of no brokers."""
    nobody = "--brokers 127.0.0.1:1"
    waiting = alone.start(f"raftwork enqueue t.add 1 {nobody}", "enqueue")
    seen = alone.sh(f"raftwork status {nobody}")
    assert (seen.code, seen.out.count("most advanced")) == (1, 0)
    assert "no broker answers at 127.0.0.1:1: are the brokers running" in seen.err
    alone.wait_until(lambda: "no broker answers at 127.0.0.1:1" in waiting.text, "a word")
    assert waiting.code is None, "long before it gives up"
    alone.start("raftwork enqueue t.add 1 --wait", "no worker")
    text = alone.directory / "no worker.log"
    served = "still waiting: no worker serves the queue default"
    alone.wait_until(lambda: served in text.read_text(), "that there is no worker")


def test_two_of_three_brokers_do_not_pass_for_more(place: Place) -> None:
    """`status` said of the one that nobody had started yet: the others can reach it."""
    for name in "ab":
        place.broker(name)

    def row() -> dict[str, object]:
        rows: list[dict[str, object]] = place.status()["brokers"]
        return next((each for each in rows if each["name"] == "c"), {})

    place.wait_until(lambda: row() and len(place.status()["brokers"]) == 3, "a and b answer")
    assert (row()["role"], row()["reason"]) == ("unreachable", None)


def test_a_mistyped_first_start_is_no_dead_end(alone: Place) -> None:
    """The directory kept the typo, and was said to belong to a cluster that never was."""
    typo = "a=127.0.0.1:1,b=127.0.0.1:2"  # cannot listen there, or waits for b
    start = "raftwork broker --name a --data data/new --cluster"
    mistyped = alone.start(f"{start} {typo}", "mistyped")
    alone.wait_until(
        lambda: (alone.directory / "data/new/identity.json").exists() or mistyped.code is not None,
        "its directory",
    )
    mistyped.stop()
    corrected = alone.sh(f"{start} a=127.0.0.1:1,c=127.0.0.1:2")
    assert corrected.code == 1
    assert "it holds no tasks: if the new options are right, remove it" in corrected.err


@pytest.mark.parametrize("command", ["status", "--help"])
def test_a_full_disk_behind_stdout_is_no_traceback(alone: Place, command: str) -> None:
    done = alone.sh(f"raftwork {command} > /dev/full")
    assert done.code == 1
    assert done.err.startswith("Error: cannot write")
    assert done.err.endswith(": No space left on device\n") and done.err.count("\n") == 1


def test_a_worker_that_can_run_nothing_says_why(alone: Place) -> None:
    """Tasks in a module that nothing imports; more slots than files."""
    alone.write("tasks.py", EMPTY)
    worker = alone.worker()
    assert "no task is registered in tasks:app" in worker.text
    many = alone.sh("ulimit -n 100; raftwork worker tasks:app --concurrency 200")
    assert many.code == 1
    assert "cannot start 200 slots: Too many open files" in many.err
    assert "this process may open 100 files" in many.err
    assert "Traceback" not in many.err


def test_chaos_says_what_a_cluster_lacks_before_it_can_begin(alone: Place) -> None:
    """It was silent for a minute."""
    alone.sh("kill -9 $(cat data/a/broker.pid)")
    chaos = alone.start("raftwork chaos --kill leader --for 5 --data data", "chaos")
    lacks = "waiting up to 60 s for a whole cluster: no leader"
    alone.wait_until(lambda: lacks in chaos.text, "what it waits for")
    chaos.stop()
