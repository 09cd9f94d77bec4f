"""Where records are registered, each under a number that never changes its meaning.

A record is a NamedTuple whose class statement carries the decorator; the codecs are made of nothing
else. Numbers are counted for each direction by itself, and for log entries.

    @reply(80)                          @request(80, reply=QueuePurged)
    class QueuePurged(NamedTuple):      class PurgeQueue(NamedTuple):
        request: int                        request: int
        purged: int                         queue: Name

The codecs know all records once `raftwork.features` is imported: import them from there.
"""

from collections.abc import Callable
from typing import TypeVar

from raftwork.wire import Codec

#: Any record that travels in a frame by itself, and the same by its direction.
Frame = tuple[object, ...]
ToBroker = Frame
FromBroker = Frame
#: Any record that stands in a log entry.
Command = tuple[object, ...]
R = TypeVar("R", bound=type[Frame])

to_broker: Codec[Frame] = Codec()
from_broker: Codec[Frame] = Codec()
commands: Codec[Command] = Codec(strict=True)

#: The frame that answers each request, unless it is refused.
replies: dict[type[Frame], type[Frame]] = {}


#: What the leader sends within a worker's session.
worker_frames: set[type[Frame]] = set()


def request(number: int, reply: type[Frame]) -> Callable[[R], R]:
    """A client's request. Its first field, `request`, numbers it; the answer repeats that number.

    Raises ValueError if the number or the record is registered already.
    """

    def register(record: R) -> R:
        replies[record] = reply
        return to_broker.register(number)(record)

    return register


def reply(number: int) -> Callable[[R], R]:
    """An answer to a client's request; its first field is that request's number.

    Raises ValueError if the number or the record is registered already.
    """
    return from_broker.register(number)


def to_worker(number: int, *, sent: Callable[[Frame], Frame] | None = None) -> Callable[[R], R]:
    """A frame of one session of a worker. It begins with its head: `epoch` and `session`.

    `sent` is what is encoded in its place: the same without what need not be said. A worker drops
    what is of another session, or of another leader, by the head alone. Raises ValueError as
    `request` does, and TypeError if the record has no such head.
    """

    def register(record: R) -> R:
        if record._fields[:2] != ("epoch", "session"):  # type: ignore[attr-defined]
            raise TypeError(f"{record.__name__} does not begin with the epoch and the session")
        worker_frames.add(record)
        return from_broker.register(number, sent=sent)(record)

    return register


def command(number: int, *, since: int = 0) -> Callable[[R], R]:
    """What a log entry may say, from the cluster's level `since` on: every replica carries it out.

    Raises ValueError if the number or the record is registered already.
    """
    return commands.register(number, since=since)
