"""A node that is told under which keys frames come."""

from raftwork.broker.access.access_list import Grant
from raftwork.broker.events import Event
from raftwork.broker.peer_events import KeyMayNot
from raftwork.features import to_broker
from raftwork.features.results import Ask
from raftwork.keys import Role
from raftwork.messages import (
    PROTOCOL,
    ClientHello,
    Code,
    Heartbeat,
    HelloFirst,
    Leader,
    Ping,
    Refused,
    ToBroker,
)
from tests.unit.broker.nodes import World

CLIENT = Grant("ada", frozenset({Role.CLIENT}))
WORKER = Grant("w", frozenset({Role.WORKER}))


def hear(world: World, message: ToBroker, grant: Grant | None) -> list[object]:
    """What it answers on a connection of that grant."""
    world.nodes["a"].receive(b"r", to_broker.encode(message), world.now, grant)
    world.nodes["a"].turn(world.now)
    heard = [said for _, said in world.inbox.pop(b"r", [])]
    return [said for said in heard if not isinstance(said, HelloFirst)]


def test_what_a_key_is_not_for_is_refused_in_words_and_told() -> None:
    events: list[Event] = []
    world = World("a", tell=lambda _name, event: events.append(event))
    beat = Heartbeat(1, None, None, None, 0, 0, draining=False)
    assert hear(world, beat, CLIENT) == [
        Refused(
            0,
            Code.PERMISSION_DENIED,
            why := "the key ada has the role client, and Heartbeat takes worker",
        )
    ]
    assert KeyMayNot(why) in events
    (refused,) = hear(world, Ask(7, ["id"]), WORKER)
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (7, Code.PERMISSION_DENIED)


def test_a_session_is_worth_nothing_under_another_key() -> None:
    """The right is asked for with each frame, not with the hello."""
    world = World("a")
    leader, *_ = hear(world, ClientHello(PROTOCOL), CLIENT)
    assert isinstance(leader, Leader)
    (refused,) = hear(world, Ask(1, ["id"]), WORKER)
    assert isinstance(refused, Refused)
    assert refused.code is Code.PERMISSION_DENIED


def test_without_keys_everybody_may_send_everything() -> None:
    world = World("a")
    for message in (ClientHello(PROTOCOL), Ping(), Ask(1, ["id"])):
        answers = hear(world, message, None)
        assert not any(getattr(a, "code", None) is Code.PERMISSION_DENIED for a in answers)
