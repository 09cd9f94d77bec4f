"""Brokers that move to other addresses, told as people tell it: one of them, or all at once."""

import json
import signal

from raftwork.testing.processes import free_addresses
from tests.strangers.place import Background, Place


def restart(place: Place, name: str, mapping: dict[str, str], flags: str = "") -> Background:
    """Start this broker with a `--cluster` of its own."""
    text = ",".join(f"{each}={at}" for each, at in mapping.items())
    return place.start(
        f"raftwork broker --name {name} --cluster {text} --data data/{name}"
        f" --consensus {place.consensus} {flags}",
        name,
    )


def whole(place: Place, brokers: str) -> bool:
    """Whether `status`, asking these addresses alone, shows everybody level and reached."""
    done = place.sh(f"raftwork status --json --brokers {brokers}")
    rows = json.loads(done.out)["brokers"]
    roles = sorted(row["role"] for row in rows)
    return roles == ["follower", "follower", "leader"] and not any(row["reason"] for row in rows)


def test_a_broker_that_moved_is_found_by_the_others(place: Place) -> None:
    """X2: the others dialled the old port for ever, and without b nobody could lead. X6, too."""
    brokers = place.brokers()
    for _ in range(2):  # it moves twice
        assert brokers["c"].stop() == 0
        place.addresses["c"] = free_addresses(1)[0]
        brokers["c"] = restart(place, "c", place.addresses, "--readdress")
        # One old address is enough to be shown all three, with the new one, and nobody twice.
        place.wait_until(lambda: whole(place, place.addresses["a"]), "c is found")
        found = f"connected to broker c at {place.addresses['c']}; "
        assert found in brokers["a"].text, "not where it was before"
    names = [(row["name"], row["address"]) for row in place.status()["brokers"]]
    assert sorted(names) == sorted(place.addresses.items()), "asked at its first address, too"
    assert f"c moved from {place.mapping.rpartition('=')[2]} to" in brokers["a"].text

    assert brokers["b"].stop() == 0
    place.wait_until(lambda: place.status()["leader"] in ("a", "c"), "a leader without b")
    done = place.sh("raftwork enqueue t.add 1 --timeout 60")
    assert done.code == 0, done.err

    # With the mapping it had, and with the new one, neither of them with --readdress.
    brokers["b"] = place.broker("b")
    assert brokers["a"].stop() == 0
    place.wait_until(lambda: place.status()["leader"] in ("b", "c"), "a leader without a")
    brokers["a"] = restart(place, "a", place.addresses)
    place.wait_until(lambda: whole(place, place.addresses["c"]), "a is back")


def test_all_brokers_move_at_once(place: Place) -> None:
    brokers = place.brokers()
    for broker in brokers.values():
        broker.signal(signal.SIGTERM)
    place.wait_until(lambda: all(b.code is not None for b in brokers.values()), "they ended")
    moved = dict(zip("abc", free_addresses(3), strict=True))
    for name in brokers:
        restart(place, name, moved, "--readdress")
    place.wait_until(lambda: whole(place, moved["b"]), "all three are found")
