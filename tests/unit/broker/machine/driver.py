"""A machine in memory, driven as a replica drives it: an entry is a transaction."""

import apsw

from raftwork.broker.machine import ClusterSettings, Machine, Waiting, create_or_migrate
from raftwork.broker.machine.commands import (
    Assign,
    Command,
    Expire,
    Fail,
    Finish,
    Lose,
    Release,
    Tick,
    encode_batch,
)
from raftwork.features.effects import (
    Applied,
    Assigned,
    Done,
    Effect,
    Rejected,
)
from raftwork.features.enqueue import Admit
from raftwork.features.queue_settings import Configure, changes
from raftwork.messages import (
    Failure,
    Result,
    Spec,
    State,
    decode_spec,
    encode_failure,
    encode_spec,
)
from raftwork.release import LEVELS
from raftwork.wire import pack

START = 1_000_000
WORKER = b"incarnation of 1"
FAILURE = encode_failure(Failure("ValueError", "no", "Traceback"))


def spec_of(
    queue: str = "default",
    *,
    retries: int = 0,
    timeout: int = 0,
    at_most_once: bool = False,
    result_ttl: int = 1_000,
    max_losses: int = 3,
) -> bytes:
    return encode_spec(
        Spec(
            "module.task",
            queue,
            timeout=timeout,
            retries=retries,
            at_most_once=at_most_once,
            result_ttl=result_ttl,
            max_losses=max_losses,
        )
    )


def tasks_of(*tasks: tuple[str, bytes]) -> bytes:
    return pack(tasks)


def change_of(
    balancer: str | None = None, max_length: int | None = None, max_bytes: int | None = None
) -> bytes:
    """Of a queue's settings: None leaves one as it is, an empty name or 0 clears it."""
    given = {"balancer": balancer, "max_length": max_length, "max_bytes": max_bytes}
    return changes(**{name: value or None for name, value in given.items() if value is not None})


class Driver:
    """`apply` takes commands at the driver's time; the other methods name one command each."""

    def __init__(self, settings: ClusterSettings | None = None, level: int = LEVELS.most) -> None:
        self.settings = settings or ClusterSettings()
        self.now = START
        self.db = apsw.Connection(":memory:")
        create_or_migrate(self.db, self.settings, level)
        self.machine = Machine(self.db)

    def reopen(self) -> None:
        self.machine = Machine(self.db)

    def apply(self, *commands: Command) -> Applied:
        return self.apply_raw(encode_batch(self.now, list(commands)))

    def apply_raw(self, entry: bytes) -> Applied:
        self.db.execute("BEGIN")
        applied = self.machine.apply(entry)
        self.machine.flush()
        self.db.execute("COMMIT")
        return applied

    def effects(self, command: Command) -> list[Effect]:
        """The effects of one command, which must be carried out."""
        applied = self.apply(command)
        assert applied.replies == [Done()]
        return applied.effects

    def refusal(self, command: Command) -> Rejected:
        """The refusal of one command, which must have changed nothing but time."""
        self.apply(Tick())
        before = self.machine.digest()
        applied = self.apply(command)
        (reply,) = applied.replies
        assert isinstance(reply, Rejected)
        assert applied.effects == []
        assert self.machine.digest() == before
        return reply

    # ---- commands -------------------------------------------------------------------------------

    def put(self, *ids: str, spec: bytes = spec_of(), payload: bytes = b"payload") -> Admit:
        return Admit(self.now, spec, tasks_of(*((i, payload) for i in ids)))

    def enqueue(
        self, *ids: str, spec: bytes = spec_of(), payload: bytes = b"payload"
    ) -> list[Effect]:
        return self.effects(self.put(*ids, spec=spec, payload=payload))

    def assign(self, *seqs: int, worker: bytes = WORKER) -> list[int]:
        """The tokens that the tasks got."""
        (effect,) = self.effects(Assign(worker, list(seqs)))
        assert isinstance(effect, Assigned)
        return [token for token, _, _ in effect.tasks]

    def start(self, task: str, *, spec: bytes = spec_of()) -> int:
        """Enqueue one task and hand it out; gives its token."""
        self.enqueue(task, spec=spec)
        queue = decode_spec(spec).queue
        (token,) = self.assign(*(w.seq for w in self.waiting(queue) if w.id == task))
        return token

    def finish(self, token: int, data: bytes = b"value") -> list[Effect]:
        return self.effects(Finish([(token, data)]))

    def fail(self, token: int, retry_at: int = 0) -> list[Effect]:
        return self.effects(Fail(token, FAILURE, retry_at))

    def expire(self, token: int, retry_at: int = 0) -> list[Effect]:
        return self.effects(Expire(token, retry_at))

    def release(self, *tokens: int) -> list[Effect]:
        return self.effects(Release(list(tokens)))

    def lose(self, token: int, *, started: bool = True) -> list[Effect]:
        return self.effects(Lose([(token, started)]))

    def tick(self, later: int = 0) -> list[Effect]:
        self.now += later
        return self.effects(Tick())

    # ---- questions ------------------------------------------------------------------------------

    def waiting(self, queue: str = "default") -> list[Waiting]:
        """Those among the ordinary ones and those in lanes, by their numbers."""
        tasks = self.machine.waiting(queue, 0, 10_000, 1 << 30)
        if queue in self.machine.state.queues:
            for number, *_ in self.machine.lanes(queue):
                tasks += self.machine.in_lane(number, 0, 10_000, 1 << 30)
        return sorted(tasks, key=lambda task: task.seq)

    def waiting_ids(self, queue: str = "default") -> list[str]:
        return [task.id for task in self.waiting(queue)]

    def result(self, task: str) -> Result:
        (result,) = self.machine.lookup([task])
        return result

    def state(self, task: str) -> State:
        return self.result(task).state

    def due(self) -> int | None:
        return self.machine.due

    def counts(self, queue: str = "default") -> tuple[int, int, int, int, int]:
        """queued, running, succeeded, failed, lost."""
        (status,) = (q for q in self.machine.queues() if q.name == queue)
        return status[1:6]


def configured(
    driver: Driver,
    queue: str = "default",
    *,
    balancer: str | None = None,
    max_length: int | None = None,
    max_bytes: int | None = None,
) -> None:
    """Set this for a queue; 0 clears."""
    change = Configure(queue, change_of(balancer, max_length, max_bytes))
    assert driver.apply(change).replies == [Done()]
