"""What a broker waits for: said after a while, again when it changes, and every minute."""

import pytest

from raftwork.broker.cluster import readiness
from raftwork.broker.cluster.readiness import PATIENCE_MS
from raftwork.broker.events import Event, Formed, Waits
from raftwork.features import to_broker
from raftwork.messages import PROTOCOL, PeerHello
from tests.unit.broker.nodes import STEP, MemoryStore, World

#: For a minute: the tests' turns are real ones.
REMIND_MS = 8_000


@pytest.fixture(autouse=True)
def _quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "REMIND_MS", REMIND_MS)


class Told:
    """A world whose brokers' events are kept, of those that run."""

    def __init__(self, *runs: str, stores: dict[str, MemoryStore] | None = None) -> None:
        self.events: dict[str, list[Event]] = {name: [] for name in "abc"}
        self.world = World("a", "b", "c", stores=stores, tell=self._tell)
        self.world.cut = {*"abc"} - {*runs}

    def _tell(self, name: str, event: Event) -> None:
        self.events[name].append(event)

    def waits(self, name: str) -> list[str]:
        """What it said that it waits for, drained."""
        waits = [event.what for event in self.events[name] if isinstance(event, Waits)]
        self.events[name].clear()
        return waits


def test_a_first_start_names_the_broker_that_is_missing_and_says_so_every_minute() -> None:
    told = Told("a", "b")
    told.world.run(PATIENCE_MS - 4 * STEP)
    assert told.waits("a") == []
    missing = (
        "2 of 3 brokers reachable; the first start needs all: c at c.example:7701 does not answer"
    )
    told.world.run(500)
    assert told.waits("a") == told.waits("b") == [missing]
    told.world.run(REMIND_MS - 1_000)
    assert told.waits("a") == []
    told.world.run(1_000)
    assert told.waits("a") == [missing]


def test_it_says_at_once_that_another_one_is_missing() -> None:
    told = Told("a", "b")
    told.world.run(PATIENCE_MS + 500)
    told.waits("a")
    told.world.cut = {"b", "c"}
    told.world.run(4_000)
    (text,) = told.waits("a")
    assert text.startswith("1 of 3 brokers reachable; ")
    assert "b at b.example:7701 does not answer, c at c.example:7701 does not answer" in text


def test_a_start_of_all_says_nothing_of_waiting() -> None:
    told = Told("a", "b", "c")
    told.world.elect()
    told.world.run(PATIENCE_MS)
    formed = [e for e in told.events["a"] if isinstance(e, Formed)]
    assert formed == [Formed(("a", "b", "c"), here=True)]
    assert [told.waits(name) for name in "abc"] == [[], [], []]


def test_a_follower_without_a_majority_names_those_that_are_missing() -> None:
    told = Told("a", "b", "c")
    told.world.elect()
    told.world.run(1_000)
    told.world.cut = {"b", "c"}
    told.world.run(7_000)
    (text,) = told.waits("a")
    assert text == (
        "no majority: 1 of 3 brokers reachable, 2 are needed: "
        "b at b.example:7701 does not answer, c at c.example:7701 does not answer"
    )
    told.world.cut = set()
    told.world.run(5_000)
    told.events["a"].clear()
    told.world.run(REMIND_MS)
    assert told.waits("a") == [], "it waits no more"


def test_an_emptied_directory_says_that_it_is_a_learner() -> None:
    told = Told("a", "b", "c")
    told.world.elect()
    told.world.run(1_000)
    stores = {**told.world.stores, "c": MemoryStore("c", 1)}
    again = Told("a", "b", "c", stores=stores)
    again.world.cut = {"b"}  # a majority of the others cannot acknowledge it
    again.world.run(8_000)
    (text,) = again.waits("c")[:1]
    assert "a learner, without a vote until it has caught up" in text


def test_a_refused_hello_is_told_of() -> None:
    told = Told("a", "b", "c")
    told.world.elect()
    told.events["a"].clear()
    hello = PeerHello(PROTOCOL, "raft", "mallory", b"m" * 16, b"", 0, False)
    told.world.nodes["a"].receive(b"peer-b", to_broker.encode(hello), told.world.now)
    (event,) = told.events["a"]
    why = "'mallory' is not another broker of this cluster: compare --cluster"
    assert str(event) == f"refused a broker's hello: {why}"
