"""Directories as people name them: relative, and with characters that mean something elsewhere."""

from tests.strangers.place import Place


def test_a_follower_that_needs_a_snapshot_ends_nobody(place: Place) -> None:
    """X1: with a relative --data the leader ended, and its successor after it."""
    brokers = place.brokers()
    behind = next(n for n in "abc" if n != place.status()["leader"])
    brokers[behind].kill()
    enqueued = place.sh(
        "python -c '"
        "from raftwork import App; app = App()\n"
        'for _ in range(10): app.named("t.take").enqueue_many([(b"x" * 1_000_000,)] * 10)\''
    )
    assert enqueued.code == 0, enqueued.err
    brokers[behind] = place.broker(behind)

    def level() -> bool:
        assert all(b.code is None for b in brokers.values()), "a broker has ended"
        rows = place.status()["brokers"]
        applied = {row["applied"] for row in rows}
        return {row["role"] for row in rows} == {"leader", "follower"} and len(applied) == 1

    place.wait_until(level, "all three are level again", within=60)
