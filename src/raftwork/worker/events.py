"""What happens to a worker, as values. The text of each is what its log says of it.

`task_logging.py` decides their levels and when to log them. What tasks themselves log is not among
them.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Names of tasks in the line of a start; there may be hundreds.
_NAMES_SHOWN = 10

# ---- the process ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """The worker's start: its name, its App and its settings."""

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
    """The App has no tasks, so the worker can run none."""

    app: str

    def __str__(self) -> str:
        return (
            f"no task is registered in {self.app}, so this worker can run none: a task is"
            " registered when the module that defines it is imported; import all of them in MODULE"
        )


@dataclass(frozen=True, slots=True)
class SchedulesCreated:
    """Schedules that the App declares were missing, and are there now."""

    schedules: tuple[str, ...]

    def __str__(self) -> str:
        return f"created schedules that were missing: {', '.join(self.schedules)}"


@dataclass(frozen=True, slots=True)
class SchedulesDiffer:
    """Schedules are there that the App declares in another way."""

    schedules: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"schedules are not as this code declares them: {', '.join(self.schedules)};"
            " `raftwork schedule apply MODULE:APP` makes them so"
        )


@dataclass(frozen=True, slots=True)
class SlotsChanged:
    """Unstoppable code, or a process that does not start, took slots; or they are free again."""

    slots: int
    before: int

    def __str__(self) -> str:
        fewer = "; code that cannot be stopped, or a process that does not start, takes one up"
        why = fewer if self.slots < self.before else ""
        return f"slots in use: {self.slots}, before: {self.before}{why}"


@dataclass(frozen=True, slots=True)
class ToldToDrain:
    """The leader told the worker to drain."""

    by: str

    def __str__(self) -> str:
        return f"told to drain by {self.by}"


@dataclass(frozen=True, slots=True)
class Draining:
    """The worker takes nothing new and finishes what runs."""

    tasks: int

    def __str__(self) -> str:
        return (
            "draining: taking nothing new, finishing what runs"
            f" ({_count(self.tasks)}); a second signal stops at once"
        )


@dataclass(frozen=True, slots=True)
class EverySlotWaits:
    """Every slot holds a task that waits for another task, and all that can be lent are lent."""

    slots: int
    waiting: tuple[str, ...]  # some of them, with how long they have run

    def __str__(self) -> str:
        left = self.slots - len(self.waiting)
        more = f", and {left} more" if left > 0 else ""
        return (
            f"every slot ({self.slots}) waits in result() for another task:"
            f" {', '.join(self.waiting)}{more}. No spare slot is left to lend, and what they wait"
            " for may have none to run in: wait less deeply, wait in coroutines (--pool async), or"
            " raise the worker's --concurrency"
        )


@dataclass(frozen=True, slots=True)
class StillDraining:
    """The worker drains, and tasks still run."""

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
    """The grace period after the first signal is over, and tasks still run."""

    seconds: float

    def __str__(self) -> str:
        return f"its grace of {self.seconds:g} s is over"


@dataclass(frozen=True, slots=True)
class StopsAtOnce:
    """The worker stops at once; the leader hands its tasks out again."""

    def __str__(self) -> str:
        return "stopping at once; tasks go back to the queue"


@dataclass(frozen=True, slots=True)
class WorkerStopped:
    """The worker ended by itself; its last line."""

    worker: str

    def __str__(self) -> str:
        return f"worker {self.worker} has stopped"


# ---- brokers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BrokerReached:
    """A connection to a broker was made."""

    address: str

    def __str__(self) -> str:
        return f"connected to the broker at {self.address}"


@dataclass(frozen=True, slots=True)
class BrokerGone:
    """The connection to a broker closed."""

    address: str

    def __str__(self) -> str:
        return f"the connection to the broker at {self.address} closed"


@dataclass(frozen=True, slots=True)
class HostUnknown:
    """A broker's host name does not resolve."""

    address: str
    why: str

    def __str__(self) -> str:
        return f"broker {self.address}: {self.why}"


@dataclass(frozen=True, slots=True)
class HostKnown:
    """A broker's host name resolves again."""

    address: str

    def __str__(self) -> str:
        return f"broker {self.address}: the host's name is known again"


@dataclass(frozen=True, slots=True)
class BrokerTrouble:
    """A broker refused a frame, sent a malformed one, or cannot be reached."""

    what: str

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True)
class LeaderJoined:
    """The leader accepted the worker and may send it tasks."""

    leader: str  # its address
    epoch: int
    reached: int  # brokers this worker is connected to …
    brokers: int  # … of so many it knows

    def __str__(self) -> str:
        reached = f"{self.reached} of {self.brokers} brokers reached"
        return f"joined the leader at {self.leader}, epoch {self.epoch}; {reached}"


@dataclass(frozen=True, slots=True)
class LeaderLost:
    """The session with the leader ended. Running tasks go on; no new ones come."""

    why: str

    def __str__(self) -> str:
        return f"lost the leader: {self.why}"


@dataclass(frozen=True, slots=True)
class Awaits:
    """The worker has been waiting for a leader for a while."""

    what: str

    def __str__(self) -> str:
        return f"{self.what}; still trying"


@dataclass(frozen=True, slots=True)
class HttpEnded:
    """The process that answers HTTP has ended, or could not be started."""

    at: str
    why: str

    def __str__(self) -> str:
        return f"nothing answers HTTP at {self.at}: {self.why}; it is started again"


# ---- tasks ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AttemptBegan:
    """An attempt was handed to the pool."""

    task: str
    name: str
    attempt: int
    attempts: int | None  # it may have, if that is known

    def __str__(self) -> str:
        return f"{_called(self.task, self.name, self.attempt, self.attempts)} starts"


@dataclass(frozen=True, slots=True)
class AttemptSucceeded:
    """An attempt returned a value."""

    task: str
    name: str
    attempt: int
    attempts: int | None

    def __str__(self) -> str:
        return f"{_called(self.task, self.name, self.attempt, self.attempts)} succeeded"


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An attempt ended without a value: failed, lost, or refused."""

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
    | SchedulesCreated
    | SchedulesDiffer
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
    | HttpEnded
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
    """The event of a worker's start; `tasks` are the names of all registered ones."""
    names = tuple(sorted(tasks)[:_NAMES_SHOWN])
    return WorkerStarted(worker, app, pool, slots, queues, brokers, len(tasks), names, pid)


def _called(task: str, name: str, attempt: int, attempts: int | None) -> str:
    of = f" of {attempts}" if attempts is not None else ""
    return f"task {task} ({name}), attempt {attempt}{of},"


def _count(tasks: int) -> str:
    return "1 task" if tasks == 1 else f"{tasks} tasks"
