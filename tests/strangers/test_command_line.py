"""Commands as people type them: names with a typo, waits that are ended, texts that are no JSON."""

import json
import re
import signal

from tests.strangers.place import Place

#: The second if the answer to the enqueue itself was still on its way.
ID = re.compile(r"(?:raftwork result|the same again with --id) ([0-9a-f-]{36})")


def test_a_wait_that_is_ended_tells_the_id(alone: Place) -> None:
    """F12: after a timeout, Ctrl-C or SIGTERM the id was nowhere."""
    late = alone.sh("raftwork enqueue t.add 1 --queue typo --wait --timeout 1")
    assert (late.code, late.out) == (1, "")
    told = {"timeout": late.err}
    assert "no worker serves the queue typo\n" in late.err
    for number, code in ((signal.SIGINT, 1), (signal.SIGTERM, 143)):
        waiting = alone.start("raftwork enqueue t.add 1 --queue typo --wait", number.name)

        def stored() -> bool:
            queue = alone.status()["queues"].get("typo")  # of a broker that leads just now
            return queue is not None and queue["queued"] > len(told)

        alone.wait_until(stored, "the task is stored")
        waiting.signal(number)
        alone.wait_until(lambda w=waiting: w.code is not None, "the command ends")  # type: ignore[misc]
        assert waiting.code == code
        told[number.name] = waiting.text
    ids = [found[1] for text in told.values() if (found := ID.search(text))]
    assert len(set(ids)) == 3, told
    for id_ in ids:
        now = alone.sh(f"raftwork result {id_}")
        assert (now.code, now.err) == (1, "queued\n")


def test_a_queue_with_a_typo_is_told_and_goes_again(alone: Place) -> None:
    """X12: it was shown as if it were there, and stayed listed for ever."""
    shown = alone.sh("raftwork queue show typo")
    assert (shown.code, shown.out) == (1, "")
    assert "no queue typo" in shown.err
    made = alone.sh("raftwork queue set typo --max-length 5")
    assert made.code == 0
    assert "no worker serves the queue typo" in made.err
    assert alone.sh("raftwork queue show typo").out == (
        "balancer none\nmax_length 5\nmax_bytes none\nfair none\nweights none\npatience none\n"
        "concurrency none\nrate none\nburst none\n"
    )
    assert "typo" in alone.status()["queues"]
    assert alone.sh("raftwork queue set typo --reset").code == 0
    assert "typo" not in alone.status()["queues"]
    assert alone.sh("raftwork queue show typo").code == 1


def test_what_is_hostile_is_shown_or_refused(alone: Place) -> None:
    """F11, F10, on the way through a cluster; tests/unit/cli has every command."""
    done = alone.sh(
        "python -c '"
        "from raftwork import App\n"
        'App().named("t\\x1b[2J", queue="q\\x1b[31m\\n\\u202eq", id="i\\x9b").enqueue()\''
        " && raftwork status && raftwork queue list && raftwork result \"$(printf 'i\\302\\233')\""
    )
    assert done.out.count(r"q\x1b[31m\n\u202eq") == 2
    assert done.err.count(r"no worker serves the queue q\x1b[31m\n\u202eq") == 2
    assert done.err.endswith("\nqueued\n")
    said = done.out + done.err
    assert not {character for character in said if not character.isprintable()} - {"\n"}
    # F10: a RecursionError.
    done = alone.sh("raftwork enqueue t.add \"$(printf '[%.0s' {1..100000})\"")
    assert done.code == 2
    assert "Traceback" not in done.err
    assert "argument 1" in done.err


def test_a_cluster_is_watched_until_ctrl_c(alone: Place) -> None:
    """On what is no terminal: one document a line; it outlives the broker, and ends with 0."""
    watching = alone.start("raftwork status --watch 0.1 --timeout 0.2 --json", "watch")

    def leaders() -> list[str | None]:
        lines = watching.text.splitlines()
        return [json.loads(line)["leader"] for line in lines if line.startswith("{")]

    alone.wait_until(lambda: leaders().count("a") >= 3, "three looks")
    (broker,) = (each for each in alone._all if each.log.name == "a.log")
    broker.kill()
    alone.wait_until(lambda: None in leaders(), "a look without a leader")
    watching.signal(signal.SIGINT)
    alone.wait_until(lambda: watching.code is not None, "it ends")
    assert (watching.code, "Traceback" in watching.text) == (0, False)
    piped = alone.sh("raftwork status --watch 0.1 --timeout 0.2 | head -1")
    assert "every 0.1 s" in piped.out
    assert "Traceback" not in piped.err
