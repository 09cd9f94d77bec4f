"""A Push: what tasks have in common is said once, and what is not there is not said."""

import pytest

from raftwork.messages import About, Push, PushedTask
from raftwork.messages.registry import from_broker
from raftwork.messages.worker import SharedAbout

TAGS = [("customer", "7")]
MANY = [About(tags=TAGS)] * 3


def pushed(*abouts: About | None) -> Push:
    return Push(1, 2, [PushedTask(n, f"t{n}", 1, b"s", b"p", a) for n, a in enumerate(abouts, 1)])


@pytest.mark.parametrize(
    "abouts",
    [
        [],
        [None, None],
        [About("key")],
        [*MANY],
        [None, *MANY, None, About("key", TAGS), About("other"), *MANY, *[About(tick=3)] * 2],
        [
            About(trace=b"t"),
            About(checkpoint=b""),
            About("k", TAGS, b"c", "f", "p", [(0, b"v")], 1),
        ],
    ],
)
def test_what_was_said_is_heard_of_each_task(abouts: list[About | None]) -> None:
    push = pushed(*abouts)
    heard = from_broker.decode(from_broker.encode(push))
    assert isinstance(heard, Push)
    assert heard.whole() == push.tasks


def test_what_several_tasks_have_in_common_takes_no_room_for_each() -> None:
    alone, many = (len(from_broker.encode(pushed(*[a] * 100))) for a in (None, MANY[0]))
    assert many - alone < 30


def test_a_key_takes_no_more_than_itself() -> None:
    alone, keyed = (len(from_broker.encode(pushed(a))) for a in (None, About("k" * 20)))
    assert keyed - alone < 30


def test_more_than_there_are_is_told_of_those_that_there_are() -> None:
    """From whoever: a broker says of nobody's tasks what they are about."""
    push = pushed(None)._replace(
        shared=[SharedAbout(0, 2**62, MANY[0]), SharedAbout(5, 1, MANY[0])]
    )
    assert [task.about for task in push.whole()] == [MANY[0]]
