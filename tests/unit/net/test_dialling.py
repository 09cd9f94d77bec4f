"""Names become numbers outside libzmq, and what is away is dialled anew."""

import pytest

from raftwork.net.dialling import LOOK_UP_MS, Answer, Dial, Dialler, Unresolved
from raftwork.net.reconnects import PATIENCE_MS


class Resolver:
    """Says what it is told to, when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._answers: list[Answer] = []

    def ask(self, host: str) -> None:
        self.asked.append(host)

    def say(self, host: str, *numbers: str, error: str = "") -> None:
        self._answers.append(Answer(host, numbers, error))

    def answers(self) -> list[Answer]:
        out, self._answers = self._answers, []
        return out


@pytest.fixture
def resolver() -> Resolver:
    return Resolver()


@pytest.fixture
def dialler(resolver: Resolver) -> Dialler:
    return Dialler(resolver)


@pytest.mark.parametrize(
    ("address", "endpoint", "ipv6"),
    [
        ("127.0.0.1:1", "tcp://127.0.0.1:1", False),
        ("[::1]:2", "tcp://[::1]:2", True),
        ("[fe80::1%eth0]:3", "tcp://[fe80::1%eth0]:3", True),
    ],
)
def test_a_number_is_dialled_at_once_and_never_looked_up(
    dialler: Dialler, resolver: Resolver, address: str, endpoint: str, ipv6: bool
) -> None:
    dialler.dial("a", address, 0)
    assert dialler.due(0) == [Dial("a", None, endpoint, ipv6)]
    assert dialler.due(PATIENCE_MS - 1) == []
    assert dialler.due(PATIENCE_MS) == [Dial("a", endpoint, endpoint, ipv6)], (
        "libzmq may have given up"
    )
    dialler.up("a")
    assert dialler.due(10 * PATIENCE_MS) == []
    dialler.down("a", 10 * PATIENCE_MS)
    assert dialler.due(20 * PATIENCE_MS) == [Dial("a", endpoint, endpoint, ipv6)]
    assert resolver.asked == []


def test_a_name_is_dialled_when_it_is_known_and_no_other_waits_for_it(
    dialler: Dialler, resolver: Resolver
) -> None:
    dialler.dial("slow", "slow.example:1", 0)
    dialler.dial("a", "127.0.0.1:1", 0)
    assert [dial.key for dial in dialler.due(0)] == ["a"]
    assert dialler.due(LOOK_UP_MS - 1) == [
        Dial("a", "tcp://127.0.0.1:1", "tcp://127.0.0.1:1", False)
    ]
    resolver.say("slow.example", "10.0.0.1")
    assert dialler.due(LOOK_UP_MS - 1) == [Dial("slow", None, "tcp://10.0.0.1:1", False)]
    assert resolver.asked == ["slow.example"]


def test_a_name_is_looked_up_again_while_it_is_away_and_not_while_it_is_there(
    dialler: Dialler, resolver: Resolver
) -> None:
    dialler.dial("a", "a.example:1", 0)
    dialler.due(0)
    resolver.say("a.example", "10.0.0.1")
    dialler.due(0)
    dialler.up("a")
    dialler.due(10 * LOOK_UP_MS)
    assert len(resolver.asked) == 1
    down = 10 * LOOK_UP_MS
    dialler.down("a", down)
    dialler.due(down)
    dialler.due(down + LOOK_UP_MS - 1)
    assert len(resolver.asked) == 2
    dialler.due(down + LOOK_UP_MS)
    assert len(resolver.asked) == 3
    resolver.say("a.example", "10.0.0.2")
    assert dialler.due(down + LOOK_UP_MS) == [
        Dial("a", "tcp://10.0.0.1:1", "tcp://10.0.0.2:1", False)
    ], "it moved"


def test_the_addresses_of_a_name_are_tried_in_turn(dialler: Dialler, resolver: Resolver) -> None:
    dialler.dial("a", "localhost:1", 0)
    dialler.due(0)
    resolver.say("localhost", "127.0.0.1", "::1")
    tried = []
    for n in range(4):
        resolver.say("localhost", "127.0.0.1", "::1")  # nothing new
        tried += [dial.new for dial in dialler.due(n * PATIENCE_MS)]
    assert tried == ["tcp://127.0.0.1:1", "tcp://[::1]:1"] * 2


def test_what_leads_nowhere_is_told_once_with_what_to_do(
    dialler: Dialler, resolver: Resolver
) -> None:
    dialler.dial("a", "nohost.example:1", 0)
    for n in range(5):
        dialler.due(n * LOOK_UP_MS)
        resolver.say("nohost.example", error="Name or service not known")
    dialler.due(5 * LOOK_UP_MS)
    ((key, text),) = dialler.unresolved()
    assert key == "a"
    for part in ("nohost.example", "Name or service not known", "spelled", "/etc/hosts"):
        assert part in text
    resolver.say("nohost.example", "10.0.0.1")
    assert [dial.new for dial in dialler.due(6 * LOOK_UP_MS)] == ["tcp://10.0.0.1:1"]
    assert dialler.unresolved() == [Unresolved("a", "")], "that is over"


def test_a_name_that_is_no_longer_known_keeps_the_numbers_it_had(
    dialler: Dialler, resolver: Resolver
) -> None:
    dialler.dial("a", "a.example:1", 0)
    dialler.due(0)
    resolver.say("a.example", "10.0.0.1")
    dialler.due(0)
    resolver.say("a.example", error="Temporary failure")
    assert [dial.new for dial in dialler.due(PATIENCE_MS)] == ["tcp://10.0.0.1:1"]


def test_another_address_of_the_same_key_takes_the_place_of_the_first(
    dialler: Dialler, resolver: Resolver
) -> None:
    dialler.dial("a", "127.0.0.1:1", 0)
    dialler.due(0)
    dialler.dial("a", "127.0.0.1:2", 5)
    assert dialler.due(5) == [Dial("a", "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", False)]
    dialler.dial("a", "b.example:2", 6)
    assert dialler.due(6) == []
    resolver.say("b.example", "10.0.0.1")
    assert dialler.due(7) == [Dial("a", "tcp://127.0.0.1:2", "tcp://10.0.0.1:2", False)]


def test_a_name_that_is_dialled_again_is_looked_up_again_and_its_next_number_tried(
    dialler: Dialler, resolver: Resolver
) -> None:
    """It is connected, but to somebody else, who has its old number now."""
    dialler.dial("a", "one:1", 0)
    assert dialler.due(0) == []
    resolver.say("one", "10.0.0.1", "10.0.0.2")
    assert [dial.new for dial in dialler.due(0)] == ["tcp://10.0.0.1:1"]
    dialler.up("a")
    assert dialler.due(LOOK_UP_MS) == []
    dialler.dial("a", "one:1", LOOK_UP_MS)
    assert [dial[1:3] for dial in dialler.due(LOOK_UP_MS)] == [
        ("tcp://10.0.0.1:1", "tcp://10.0.0.2:1")
    ]
    assert resolver.asked == ["one", "one"]
    dialler.up("a")
    dialler.dial("a", "one:1", 2 * LOOK_UP_MS)
    resolver.say("one", "10.0.0.3")
    assert [dial.new for dial in dialler.due(2 * LOOK_UP_MS)] == ["tcp://10.0.0.3:1"]
