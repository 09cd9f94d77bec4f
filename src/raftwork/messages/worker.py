"""Frames between workers and brokers."""

from enum import IntEnum
from itertools import groupby
from operator import itemgetter
from typing import Annotated, Final, NamedTuple, cast

from raftwork.messages.bounds import Between, Id
from raftwork.messages.failures import is_growth
from raftwork.messages.registry import to_broker, to_worker
from raftwork.messages.shared import Loss
from raftwork.wire import maker

#: Between two heartbeats of a worker, ms.
HEARTBEAT_MS = 1_000
#: The session in which what is left of a killed worker speaks for it, above all that it counted.
#: This hello lists what ran as the process ended, not what had run: of an outcome that went with
#: the process nobody is left who knows.
LAST_SESSION = 2**62


#: Tokens in one list of a worker's: more than one can have, with all outcomes that it keeps.
TOKENS_MAX: Final = 200_000


class Held(IntEnum):
    """What a worker is doing with a token."""

    WAITING = 0  # received, not started
    RUNNING = 1
    DONE = 2  # its outcome is not acknowledged yet


class Holding(NamedTuple):
    """One token that a worker has."""

    token: int
    held: Held
    age: int  # ms since its code started; 0 while waiting


@to_broker.register(10)
class WorkerHello(NamedTuple):
    """Opens (or reopens) a worker's session: everything it still holds is listed.

    Except in the LAST_SESSION.
    """

    version: int
    name: str
    incarnation: bytes  # 16 random bytes of this process
    session: int  # grows with every hello of this incarnation
    host: str
    pid: int
    slots: int
    queues: list[str]
    holding: Annotated[list[Holding], Between(0, TOKENS_MAX)]
    draining: bool
    oldest: int = 0  # version it speaks besides; 0: no other


@to_worker(10)
class WorkerWelcome(NamedTuple):
    """The hello's answer. `stop` lists held tokens that are no longer this worker's.

    Tokens the worker did not list and the leader thinks are its own come again in a Push.
    """

    epoch: int
    session: int
    stop: list[int]


class About(NamedTuple):
    """What a task's code may know of it besides; of level 2, but for the key."""

    key: str = ""
    tags: list[tuple[str, str]] = []  # noqa: RUF012 - never changed, as all of a record
    #: What an earlier attempt left, packed.
    checkpoint: bytes | None = None
    #: Of a flow's task: the ids of its flow and of the task that made it, and the values that it
    #: waited for, packed, each with its slot (messages/flow_values.py).
    flow: str = ""
    parent: str = ""
    inputs: list[tuple[int, bytes]] = []  # noqa: RUF012 - as above
    #: The instant that its schedule made it for; 0: none did.
    tick: int = 0
    #: What the last attempt that failed left for a tracer of this one.
    trace: bytes = b""


class PushedTask(NamedTuple):
    """One task handed out. `spec` is a packed Spec, `payload` its packed arguments."""

    token: int
    id: str
    attempt: int
    spec: bytes
    payload: bytes
    about: About | None = None  # left out of the frame where there is nothing to say

    @property
    def size(self) -> int:
        """About so many bytes in a frame, but for its spec."""
        size, about = len(self.payload), self.about
        if about is not None:
            if about.checkpoint is not None:
                size += len(about.checkpoint)
            if about.inputs:
                size += sum(len(data) for _, data in about.inputs)
        return size


class SharedAbout(NamedTuple):
    """What is the same of several tasks of a Push, that follow each other."""

    first: int  # their first, counted from 0
    tasks: int
    about: About


_about, _pushed = itemgetter(5), maker(PushedTask)


def _short(push: tuple[object, ...]) -> tuple[object, ...]:
    """What need not be said, or was said of the task before, is left out.

    A task of which nothing else is to be said takes what it took before there was more.
    """
    epoch, session, tasks, said = cast("Push", push)
    if said:
        return push
    sent: list[tuple[object, ...]] = []
    shared: list[tuple[object, ...]] = []
    for about, some in groupby(tasks, _about):
        alike = list(some)
        if about is not None and len(alike) == 1:
            sent.append((*alike[0][:5], _said(about)))
            continue
        if about is not None:
            shared.append((len(sent), len(alike), _said(about)))
        sent += [task[:5] for task in alike]
    return (epoch, session, sent, shared) if shared else (epoch, session, sent)


_NO_ABOUT: tuple[object, ...] = About()


def _said(about: tuple[object, ...]) -> tuple[object, ...]:
    """Without the last fields that have their defaults."""
    if about[1:] == _NO_ABOUT[1:]:  # nearly always
        return about[:1]
    end = len(about)
    while end and about[end - 1] == _NO_ABOUT[end - 1]:
        end -= 1
    return about[:end]


@to_worker(11, sent=_short)
class Push(NamedTuple):
    """Tasks handed out, in the order in which to start them."""

    epoch: int
    session: int
    tasks: list[PushedTask]
    shared: list[SharedAbout] = []  # noqa: RUF012 - never changed, as all of a record

    def whole(self) -> list[PushedTask]:
        """The tasks, each with what is known of it."""
        tasks = list(self.tasks)
        for first, count, about in self.shared:
            tasks[first : first + count] = [
                _pushed((*task[:5], about)) for task in tasks[first : first + count]
            ]
        return tasks


@to_worker(12)
class Stop(NamedTuple):
    """These tokens are no longer yours: stop their code and forget them."""

    epoch: int
    session: int
    tokens: list[int]


@to_worker(13)
class Acknowledged(NamedTuple):
    """What you reported of these tokens is committed (or refused for good): forget them."""

    epoch: int
    session: int
    tokens: list[int]


@to_worker(14)
class Beat(NamedTuple):
    """Leader to worker, several a second. `pushed` counts the tasks pushed in this session:

    a worker that counted fewer has lost a frame and says hello again.
    """

    epoch: int
    session: int
    pushed: int


@to_worker(15)
class Drain(NamedTuple):
    """Take nothing new, hand back what has not begun, finish what runs, say goodbye."""

    epoch: int
    session: int


class Outcome(NamedTuple):
    """How an attempt ended."""

    token: int
    ok: bool
    data: bytes  # the packed value, or a packed Failure
    #: The worker has no task of that name: a fault of the worker rather than of the task.
    unknown: bool = False
    #: The code neither returned nor raised: the process that ran it is gone.
    loss: Loss | None = None
    #: No retry can help: the call is wrong, not what it came to.
    final: bool = False

    @property
    def returned(self) -> bool:
        """Whether the code returned: with a value, or with tasks that it made (Grown)."""
        return self.ok or is_growth(self.data)


class Started(NamedTuple):
    """One token whose code began."""

    token: int
    age: int  # ms since its code started


class Deadlock(IntEnum):
    """Why a wait for another task's outcome would last for ever. A newer one is read as CYCLE."""

    CYCLE = 1  # what is waited for waits for the waiting task
    GATE = 2  # … or for something that the waiting tasks hold
    SLOTS = 3  # … or for a slot, and all have tasks that wait

    @classmethod
    def _missing_(cls, value: object) -> "Deadlock":  # noqa: ARG003
        return cls.CYCLE


#: Of one task, ids told of what it waits for; of one that waits for more, none are.
WAITS_MAX: Final = 100


class Wait(NamedTuple):
    """What a running task waits for, from now on; the last word on its token counts."""

    token: int
    #: Grows with every change, so that an answer to an older word is told from one to this.
    turn: int
    #: Its slot is free for others meanwhile.
    parked: bool = False
    #: Ids of tasks. None, and not parked: it waits no more.
    ids: Annotated[list[Id], Between(0, WAITS_MAX)] = []  # noqa: RUF012 - as above
    #: It does not give up by itself after a while.
    endless: bool = False


class Hopeless(NamedTuple):
    """A wait that must end with an error."""

    token: int
    turn: int
    why: Deadlock


@to_worker(150)
class EndWaits(NamedTuple):
    """What these tasks wait for cannot come while they wait: end these waits with an error."""

    epoch: int
    session: int
    waits: list[Hopeless]


@to_broker.register(11)
class Report(NamedTuple):
    """What happened at the worker since the last report; outcomes repeat until acknowledged."""

    session: int
    started: Annotated[list[Started], Between(0, TOKENS_MAX)]
    outcomes: Annotated[list[Outcome], Between(0, TOKENS_MAX)]
    released: Annotated[list[int], Between(0, TOKENS_MAX)]  # handed back unstarted
    window: int  # unstarted tasks it may hold beyond its slots
    #: What has changed of them; in a new session all.
    waits: Annotated[list[Wait], Between(0, TOKENS_MAX)] = []  # noqa: RUF012 - as above


@to_broker.register(12)
class Heartbeat(NamedTuple):
    """A worker's load, once a second; its lease lives on it. Shares are 0 … 1."""

    session: int
    cpu: float | None
    memory: float | None
    load: float | None  # 1-minute run queue of the host per CPU of it
    running: int
    window: int
    draining: bool
    own: float | None = None  # of `cpu`: what the worker and its tasks use
    #: Tasks that returned since the process began, and the sum of log2(ns) of their run times.
    ended: int = 0
    log_times: float = 0.0
    #: Which CPUs those are: workers of one host and place share them.
    place: int = 0


@to_broker.register(13)
class Goodbye(NamedTuple):
    """The worker is leaving for good; whatever it still holds is given to others."""

    session: int
    #: It did not choose to: its process ended, and what is left of it says so.
    lost: bool = False
