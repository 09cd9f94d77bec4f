"""Hosts' names as people mistype them, and as machines spell them."""

from tests.strangers.place import Place


def test_a_host_that_is_none_is_named_with_the_reason(alone: Place) -> None:
    """F18: the broker said "No such device", the client "no connection"."""
    at = "nohost.invalid:7701"
    broker = alone.sh(f"raftwork broker --name b --cluster b={at} --data data/b --insecure")
    client = alone.sh(f"raftwork enqueue t.add 1 --timeout 1 --brokers {at}")
    status = alone.sh(f"raftwork status --brokers {at}")
    for done in (broker, client):
        assert done.code == 1
        assert "cannot resolve the host 'nohost.invalid'" in done.err
    assert "cannot resolve the host" in status.out
    alone.write("tasks.py", "from raftwork import App\napp = App()\n")
    worker = alone.start(f"raftwork worker tasks:app --brokers {at}", "w1")
    alone.wait_until(lambda: "cannot resolve the host" in worker.text, "the worker says so")
