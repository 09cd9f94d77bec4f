"""A queue that holds what nobody wants any more is emptied, and whoever waits is told."""

from tests.strangers.place import Place


def test_a_queue_is_purged_and_a_caller_that_waits_is_told(alone: Place) -> None:
    alone.write(
        "program.py",
        "from raftwork import App, TaskFailed\n"
        "with App() as app:\n"
        "    runs = app.named('t.mail', queue='mail').enqueue_many([(n,) for n in range(2_500)])\n"
        "    other = app.named('t.mail', queue='other').enqueue(1)\n"
        "    print(app.queue('mail').purge(), app.queue('mail').purge())\n"
        "    try:\n"
        "        runs[-1].result(60)\n"
        "    except TaskFailed as error:\n"
        "        print(error.type)\n"
        "    print(other.status().name, app.named('t.mail', queue='mail').enqueue(2).id > '')\n",
    )
    done = alone.sh("python program.py")
    assert done.out.split() == ["2500", "0", "Purged", "QUEUED", "True"], done.err
    said = alone.sh("raftwork queue purge mail")
    assert (said.code, said.out) == (0, "tasks dropped from mail: 1\n"), said.err
    assert alone.sh("raftwork queue purge other --json").out.split() == ['{"purged":', "1}"]
    queues = alone.status()["queues"]
    assert [queues[name]["queued"] for name in ("mail", "other")] == [0, 0]
    assert "Purged" in alone.sh("raftwork queue purge --help").out
