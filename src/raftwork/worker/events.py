"""What happens to a worker, as values. The text of each is what its log says of it.

`journal.py` says how much each weighs, and when. What tasks themselves log is none of it.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Names of tasks in the line of a start; there may be hundreds.
_NAMES_SHOWN = 10

# ---- the process ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """What this process is, and what it can do."""

    worker: str
    app: str  # MODULE:APP, if it was loaded from one
    pool: str
    slots: int  # tasks at once
    queues: tuple[str, ...]
    brokers: tuple[str, ...]  # addresses it tries
    tasks: int  # registered …
    names: tuple[str, ...]  # … and the first of their names, sorted
    pid: int

    def __str__(self) -> str:
        more = f", and {self.tasks - len(self.names)} more" if self.tasks > len(self.names) else ""
        names = f" ({', '.join(self.names)}{more})" if self.names else ""
        app = f" of {self.app}" if self.app else ""
        return (
            f"worker {self.worker} runs {_count(self.tasks)}{app}{names}; pool: {self.pool}, slots:"
            f" {self.slots}, queues: {', '.join(self.queues)}, brokers: {', '.join(self.brokers)},"
            f" pid: {self.pid}"
        )


@dataclass(frozen=True, slots=True)
class NothingRegistered:
    """It can run no task at all."""

    app: str

    def __str__(self) -> str:
        return (
            f"no task is registered in {self.app}, so this worker can run none: a task is"
            " registered when the module that defines it is imported; import all of them in MODULE"
        )


@dataclass(frozen=True, slots=True)
class SlotsChanged:
    """Code that cannot be stopped, or a process that does not start, takes some up; or no more."""

    slots: int
    before: int

    def __str__(self) -> str:
        fewer = "; code that cannot be stopped, or a process that does not start, takes one up"
        why = fewer if self.slots < self.before else ""
        return f"slots in use: {self.slots}, before: {self.before}{why}"


@dataclass(frozen=True, slots=True)
class ToldToDrain:
    """The leader says that it is to end."""

    by: str

    def __str__(self) -> str:
        return f"told to drain by {self.by}"


@dataclass(frozen=True, slots=True)
class Draining:
    """It takes nothing new."""

    tasks: int

    def __str__(self) -> str:
        return (
            "draining: taking nothing new, finishing what runs"
            f" ({_count(self.tasks)}); a second signal stops at once"
        )


@dataclass(frozen=True, slots=True)
class EverySlotWaits:
    """No slot is left for what the tasks in them wait for."""

    slots: int
    waiting: tuple[str, ...]  # some of them, with how long they have run

    def __str__(self) -> str:
        left = self.slots - len(self.waiting)
        more = f", and {left} more" if left > 0 else ""
        return (
            f"every slot ({self.slots}) waits in result() for another task:"
            f" {', '.join(self.waiting)}{more}. What they wait for may have no slot to run in: do"
            " not wait in a task; or give the worker a higher --concurrency, or such tasks a queue"
            " and a worker of their own"
        )


@dataclass(frozen=True, slots=True)
class StillDraining:
    """Tasks keep it from ending."""

    tasks: int
    oldest: tuple[str, ...]  # some of them, with how long they have run

    def __str__(self) -> str:
        left = self.tasks - len(self.oldest)
        more = f", and {left} more" if left else ""
        return (
            "still draining; a second signal stops at once. Waiting for"
            f" {_count(self.tasks)}: {', '.join(self.oldest)}{more}"
        )


@dataclass(frozen=True, slots=True)
class GraceOver:
    """Tasks still run so long after it was told to stop."""

    seconds: float

    def __str__(self) -> str:
        return f"its grace of {self.seconds:g} s is over"


@dataclass(frozen=True, slots=True)
class StopsAtOnce:
    """What runs is ended; the leader hands it out again."""

    def __str__(self) -> str:
        return "stopping at once; tasks go back to the queue"


@dataclass(frozen=True, slots=True)
class WorkerStopped:
    """The last line of a worker that ended by itself."""

    worker: str

    def __str__(self) -> str:
        return f"worker {self.worker} has stopped"


# ---- brokers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BrokerReached:
    """A connection to it was made."""

    address: str

    def __str__(self) -> str:
        return f"connected to the broker at {self.address}"


@dataclass(frozen=True, slots=True)
class BrokerGone:
    """The connection to it closed."""

    address: str

    def __str__(self) -> str:
        return f"the connection to the broker at {self.address} closed"


@dataclass(frozen=True, slots=True)
class HostUnknown:
    """The name of a broker's host means no address here."""

    address: str
    why: str

    def __str__(self) -> str:
        return f"broker {self.address}: {self.why}"


@dataclass(frozen=True, slots=True)
class HostKnown:
    """A broker's host means an address again."""

    address: str

    def __str__(self) -> str:
        return f"broker {self.address}: the host's name is known again"


@dataclass(frozen=True, slots=True)
class BrokerTrouble:
    """A broker refused what it was sent, or sent what is no message; or there is no way to it."""

    what: str

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True)
class LeaderJoined:
    """It may be given tasks from here on."""

    leader: str  # its address
    epoch: int
    reached: int  # brokers this worker is connected to …
    brokers: int  # … of so many it knows

    def __str__(self) -> str:
        reached = f"{self.reached} of {self.brokers} brokers reached"
        return f"joined the leader at {self.leader}, epoch {self.epoch}; {reached}"


@dataclass(frozen=True, slots=True)
class LeaderLost:
    """What runs goes on; nothing new comes."""

    why: str

    def __str__(self) -> str:
        return f"lost the leader: {self.why}"


@dataclass(frozen=True, slots=True)
class Awaits:
    """Without it, this worker gets nothing to do."""

    what: str

    def __str__(self) -> str:
        return f"{self.what}; still trying"


# ---- tasks ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AttemptBegan:
    """It was given to the pool."""

    task: str
    name: str
    attempt: int
    attempts: int | None  # it may have, if that is known

    def __str__(self) -> str:
        return f"{_called(self.task, self.name, self.attempt, self.attempts)} starts"


@dataclass(frozen=True, slots=True)
class AttemptSucceeded:
    """Its value goes to the leader."""

    task: str
    name: str
    attempt: int
    attempts: int | None

    def __str__(self) -> str:
        return f"{_called(self.task, self.name, self.attempt, self.attempts)} succeeded"


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """It gave no value: it failed, was lost, or was refused."""

    task: str
    name: str
    attempt: int
    attempts: int | None
    how: str
    why: str

    def __str__(self) -> str:
        called = _called(self.task, self.name, self.attempt, self.attempts)
        return f"{called} {self.how}: {self.why}"


Event = (
    WorkerStarted
    | NothingRegistered
    | SlotsChanged
    | ToldToDrain
    | Draining
    | EverySlotWaits
    | StillDraining
    | GraceOver
    | StopsAtOnce
    | WorkerStopped
    | BrokerReached
    | BrokerGone
    | HostUnknown
    | HostKnown
    | BrokerTrouble
    | LeaderJoined
    | LeaderLost
    | Awaits
    | AttemptBegan
    | AttemptSucceeded
    | AttemptEnded
)


def started(
    worker: str,
    app: str,
    pool: str,
    slots: int,
    queues: tuple[str, ...],
    brokers: tuple[str, ...],
    tasks: list[str],
    pid: int,
) -> WorkerStarted:
    """Of all registered tasks' names."""
    names = tuple(sorted(tasks)[:_NAMES_SHOWN])
    return WorkerStarted(worker, app, pool, slots, queues, brokers, len(tasks), names, pid)


def _called(task: str, name: str, attempt: int, attempts: int | None) -> str:
    of = f" of {attempts}" if attempts is not None else ""
    return f"task {task} ({name}), attempt {attempt}{of},"


def _count(tasks: int) -> str:
    return "1 task" if tasks == 1 else f"{tasks} tasks"
