"""A broker that listens elsewhere than where it is found: a container, a port that is passed on."""

from raftwork.testing.processes import free_addresses
from tests.strangers.place import Place

TASKS = """
from raftwork import App
app = App()

@app.task
def add(x, y): return x + y
"""


def test_a_broker_is_found_at_one_address_and_listens_at_another(place: Place) -> None:
    place.write("tasks.py", TASKS)
    (address,) = free_addresses(1)
    port = address.rpartition(":")[2]
    place.env["RAFTWORK_BROKERS"] = found = f"127.0.0.2:{port}"
    listens = f"raftwork broker --name a --cluster a={found} --data data --listen 0.0.0.0:{port}"
    refused = place.sh(listens)
    assert refused.code == 2
    assert f"0.0.0.0:{port}: other machines could reach this" in refused.err
    broker = place.start(f"{listens} --insecure --consensus {place.consensus}", "a")
    place.wait_until(lambda: f"listening a 0.0.0.0:{port}" in broker.text, "it listens")
    place.start("raftwork worker tasks:app --pool thread", "w1")
    for brokers in (found, f"127.0.0.3:{port}"):
        done = place.sh(f"raftwork enqueue tasks.add 1 2 --wait --brokers {brokers}")
        assert (done.code, done.out) == (0, "3\n"), done
    (facts,) = place.status()["brokers"]
    assert facts["address"] == found


def test_sighup_ends_no_broker(alone: Place) -> None:
    """From its first line on: it says that a file has changed, and there may be none."""
    for _ in range(3):
        assert alone.sh("kill -HUP $(cat data/a/broker.pid)").code == 0
        assert alone.sh("raftwork status --timeout 60").code == 0
    assert alone.sh("kill -0 $(cat data/a/broker.pid)").code == 0
