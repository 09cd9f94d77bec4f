"""What a trial asks for: kinds of batches, each with what it wants, and how often it comes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from raftwork.chaos.limits import LIMITS, limit_name
from raftwork.chaos.tasks import (
    QUEUE,
    call,
    climb,
    fail,
    gather,
    listen,
    reject,
    stumble,
    tally,
    work,
)
from raftwork.client.app import App
from raftwork.client.canvas import Canvas, chord
from raftwork.client.options import OptionFields
from raftwork.client.task import BoundTask

#: One in so many tasks runs for so long that faults hit it in the middle.
_LONG = 33
#: Seconds: what is cancelled while it waits would run only then.
_FAR = 30.0
#: Keys of a client's ordered tasks; unique keys of all clients together.
_ORDERED_KEYS, _UNIQUE_KEYS = 3, 5
#: Keys that a trial's limits count apart.
_LIMITED_KEYS = 30
#: Of what stumbles once: as many losses may count as attempts.
_RETRIES = 20


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch to be enqueued: its code, and what is said of it."""

    name: str = work.name
    options: OptionFields = field(default_factory=OptionFields)
    key: str | None = None
    at: datetime | None = None
    #: As the history has it, by the option.
    wanted: Mapping[str, str] = field(default_factory=dict)
    #: ms that its code sleeps; None: a few, sometimes many.
    milliseconds: int | None = None
    #: Seconds from its acknowledgement to its cancel.
    cancel_after: float | None = None
    #: Each is a chord of so many tasks and a body.
    members: int = 0
    #: Each is a call on every worker and a body.
    everywhere: bool = False

    @property
    def once(self) -> bool:
        """Whether its tasks may run once only."""
        return self.options.get("delivery") == "at_most_once"

    def task(self, app: App) -> BoundTask[..., Any]:
        """Ready to be enqueued."""
        options: OptionFields = {**self.options, "queue": QUEUE}
        return app.named(self.name, key=self.key, at=self.at, **options)

    def member_ids(self, flow: str) -> list[str]:
        """Those of what is before the body of the chord of this id."""
        return [f"{flow}/{at}" for at in range(1, self.members + 1)]

    @property
    def is_of_flows(self) -> bool:
        """Whether a flow stands for each of its tasks."""
        return self.members > 0 or self.everywhere

    def flow(self, app: App, number: int, rng: Random, journals: str) -> Canvas:
        """What stands for one of its tasks: its body returns what that would return."""
        if self.everywhere:
            everywhere = app.named(call.name, queue=QUEUE).broadcast(self.sleep(rng), journals)
            after = app.named(tally.name, queue=QUEUE).s(number, self.sleep(rng), journals)
            return chord([everywhere], after, on_error="continue")
        member, body = (app.named(name, queue=QUEUE) for name in (work.name, gather.name))
        calls = [member.s(number, self.sleep(rng), journals) for _ in range(self.members)]
        return chord(calls, body.s(number, self.sleep(rng), journals))

    def sleep(self, rng: Random) -> int:
        """ms for one of its tasks."""
        if self.milliseconds is not None:
            return self.milliseconds
        return rng.randint(200, 400) if rng.randrange(_LONG) == 0 else rng.randint(1, 10)


def _plain(_rng: Random, _client: str) -> Batch:
    return Batch()


def _once(_rng: Random, _client: str) -> Batch:
    return Batch(options={"delivery": "at_most_once"})


def _urgent(rng: Random, _client: str) -> Batch:
    return Batch(options={"priority": rng.randint(-100, 100)})


def _later(rng: Random, _client: str) -> Batch:
    delay = round(rng.uniform(0.1, 3), 3)
    wanted = {"delay": str(delay)}
    if rng.random() < 0.5:
        return Batch(options={"delay": delay}, wanted=wanted)
    # The history has it after the enqueue's time: both are taken now, this one a little later.
    return Batch(at=datetime.now(UTC) + timedelta(seconds=delay), wanted=wanted)


def _ordered(rng: Random, client: str) -> Batch:
    key = f"{client}-{rng.randrange(_ORDERED_KEYS)}"
    name = stumble.name if rng.random() < 0.3 else work.name
    options: OptionFields = {"ordered": True, "retries": _RETRIES, "backoff": 0.1}
    return Batch(name, options, key=key, wanted={"ordered": key})


def _unique(rng: Random, client: str) -> Batch:
    # A trial's own: on a running cluster others may have theirs.
    key = f"{client.partition('-')[0]}-{rng.randrange(_UNIQUE_KEYS)}"
    return Batch(options={"unique": key}, wanted={"unique": key}, milliseconds=30)


def _limited(rng: Random, client: str) -> Batch:
    kinds = rng.sample(list(LIMITS), rng.choice((1, 1, 2, len(LIMITS))))
    limits = [limit_name(client.partition("-")[0], kind) for kind in kinds]
    key = f"k{rng.randrange(_LIMITED_KEYS)}"
    wanted = {"limits": ",".join(limits), "key": key}
    return Batch(options={"limits": limits}, key=key, wanted=wanted, milliseconds=30)


def _failing(rng: Random, _client: str) -> Batch:
    retries = rng.randint(0, 3)
    name, how = rng.choice([(fail.name, "always"), (reject.name, "reject")])
    options: OptionFields = {"retries": retries, "backoff": 0.05}
    return Batch(name, options, wanted={"fails": how, "retries": str(retries)})


def _climbing(_rng: Random, _client: str) -> Batch:
    return Batch(climb.name, {"retries": _RETRIES, "backoff": 0.05})


def _revoked(rng: Random, _client: str) -> Batch:
    wanted = {"delay": str(_FAR)}
    return Batch(options={"delay": _FAR}, wanted=wanted, cancel_after=rng.uniform(0, 1))


def _interrupted(rng: Random, _client: str) -> Batch:
    options: OptionFields = {"retries": _RETRIES}
    return Batch(listen.name, options, milliseconds=300, cancel_after=rng.uniform(0, 0.3))


def _joined(rng: Random, _client: str) -> Batch:
    members = rng.randint(1, 4)
    return Batch(members=members, wanted={"inputs": str(members)})


def _everywhere(_rng: Random, _client: str) -> Batch:
    return Batch(everywhere=True, wanted={"everywhere": "1"})


class Kind(NamedTuple):
    """A kind of batches, of which so many in a hundred are."""

    share: int
    make: Callable[[Random, str], Batch]


ORDINARY: tuple[Kind, ...] = (Kind(90, _plain), Kind(10, _once))
MIX: tuple[Kind, ...] = (
    Kind(42, _plain),
    Kind(10, _once),
    Kind(3, _joined),
    Kind(1, _everywhere),
    Kind(8, _urgent),
    Kind(8, _later),
    Kind(7, _ordered),
    Kind(6, _unique),
    Kind(4, _limited),
    Kind(4, _failing),
    Kind(2, _climbing),
    Kind(2, _revoked),
    Kind(3, _interrupted),
)


def draw(mix: tuple[Kind, ...], rng: Random, client: str) -> Batch:
    """A batch of this client's."""
    (kind,) = rng.choices(mix, [kind.share for kind in mix])
    return kind.make(rng, client)
