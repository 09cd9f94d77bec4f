"""A leadership with workers that follow a script: which tasks they know, and how those end."""

from collections.abc import Callable

from raftwork.features.enqueue import Enqueue
from raftwork.messages import (
    PROTOCOL,
    Failure,
    Loss,
    Outcome,
    Push,
    PushedTask,
    Report,
    Spec,
    State,
    WorkerHello,
    WorkerStatus,
    decode_failure,
    decode_spec,
    encode_failure,
)
from tests.unit.broker.leadership_harness import LeadershipHarness
from tests.unit.broker.leases import LEASE_MS
from tests.unit.broker.queues import enqueue

#: What becomes of a task; None: it runs on.
Code = Callable[[PushedTask], Outcome | None]


def returns(task: PushedTask) -> Outcome:
    return Outcome(task.token, True, b"v")


def raises(task: PushedTask) -> Outcome:
    return Outcome(task.token, False, encode_failure(Failure("ValueError", "as asked", "")))


def dies(task: PushedTask) -> Outcome:
    failure = encode_failure(Failure("ProcessDied", "", ""))
    return Outcome(task.token, False, failure, loss=Loss(signal=9))


def runs_on(_task: PushedTask) -> None:
    return None


def knows(*names: str, code: Code = returns) -> Code:
    def run(task: PushedTask) -> Outcome | None:
        name = decode_spec(task.spec).name
        if name in names:
            return code(task)
        failure = Failure("UnknownTask", f"this worker has no task {name!r}", "")
        return Outcome(task.token, False, encode_failure(failure), unknown=True)

    return run


class ScriptedWorkers(LeadershipHarness):
    """`ran` lists every task a worker was given as (worker, task id), in order."""

    def __init__(self, *, settled: bool = True) -> None:
        """`settled`: every worker had the time to say hello to this leader."""
        super().__init__()
        self.code: dict[str, Code] = {}
        self.running: dict[str, list[PushedTask]] = {}
        self.ran: list[tuple[str, str]] = []
        if settled:
            self.turn(LEASE_MS)

    def join(self, name: str, code: Code, slots: int = 1, window: int = 0) -> None:
        self.code[name] = code
        self.running[name] = []
        me = name.encode().ljust(16, b".")
        hello = WorkerHello(PROTOCOL, name, me, 1, "h", 1, slots, ["default"], [], False)
        self.lead.workers.hello(name.encode(), hello, self.now)
        report = Report(1, [], [], [], window)
        self.lead.workers.report(name.encode(), report, self.now, self.lead.time(self.now))
        self.lead.capacity_changed()

    def leave(self, name: str) -> None:
        self.lead.workers.goodbye(name.encode(), 1, self.now)
        self.lead.capacity_changed()

    def want(self, *ids: str, name: str = "job", **options: int) -> None:
        self.requests += 1
        spec = Spec(name, "default", **options)  # type: ignore[arg-type]
        _, packed, tasks, _ = enqueue(*ids, spec=spec)
        request = Enqueue(self.requests, self.lead.time(self.now), packed, tasks)
        self.lead.request(b"c", request, len(tasks), self.now)

    def end(self, name: str, code: Code, count: int = 1_000) -> None:
        """The first tasks that run on at this worker end like this."""
        tasks, self.running[name] = self.running[name][:count], self.running[name][count:]
        self._tell(name, [end for task in tasks if (end := code(task)) is not None])

    def work(self, ms: int = 0, step: int = 50) -> None:
        """Turns, and what the workers make of them, until nothing happens; then time passes."""
        for _ in range(0, ms + 1, step):
            for _ in range(2_000):
                self.turn(0)
                if not self._run():
                    break
            else:
                raise AssertionError("they never come to rest")
            self.now += step
            for name in self.code:
                self._tell(name, [])  # its lease

    def _run(self) -> bool:
        pushed = False
        for routing, message in list(self.lead.frames()):
            if not isinstance(message, Push):
                continue
            name = routing.decode()
            for task in message.tasks:
                pushed = True
                self.ran.append((name, task.id))
                end = self.code[name](task)
                if end is None:
                    self.running[name].append(task)
                else:
                    self._tell(name, [end])
        return pushed

    def _tell(self, name: str, outcomes: list[Outcome]) -> None:
        worker = self.lead.workers._by_routing.get(name.encode())
        window = 0 if worker is None else worker.window
        report = Report(1, [], outcomes, [], window)
        self.lead.workers.report(name.encode(), report, self.now, self.lead.time(self.now))
        if outcomes:
            self.lead.capacity_changed()

    # ---- what came of it ----------------------------------------------------------------------

    def state(self, id_: str) -> State:
        return self.queues.machine.states([id_])[0]

    def failure(self, id_: str) -> Failure:
        return decode_failure(self.queues.machine.lookup([id_])[0].data)

    def by(self, name: str) -> list[str]:
        """The tasks that this worker was given."""
        return [task for worker, task in self.ran if worker == name]

    def status(self, name: str) -> WorkerStatus:
        (status,) = [s for s in self.lead.workers.statuses() if s.name == name]
        return status
