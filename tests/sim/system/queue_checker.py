"""What must be true of tasks (G1–G5, G7): a model fed by what was applied, executed and told.

The model knows the rules of a task's life and nothing of how the machine keeps them.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import cast
from zlib import crc32

from raftwork.broker.queue.commands import (
    Applied,
    Assigned,
    Begun,
    Closed,
    Effect,
    Enqueue,
    Expire,
    Fail,
    Lose,
    NotAssigned,
    Queued,
    Rejected,
    Release,
    Requeued,
    Settled,
    Stale,
    commands,
    decode_batch,
)
from raftwork.consensus.core import Position
from raftwork.messages import Result, Spec, State, decode_failure, decode_spec
from raftwork.wire import unpack
from tests.sim.system.promises import require


@dataclass(slots=True)
class Known:
    """A committed task."""

    id: str
    spec: Spec
    contents: int
    token: int | None = None
    attempts: int = 0
    failures: int = 0
    losses: int = 0
    outcome: tuple[State, bytes] | None = None


@dataclass(slots=True)
class Run:
    """Code that began under a token."""

    id: str
    worker: bytes
    at: int
    ok: bool | None = None
    data: bytes = b""


@dataclass(slots=True)
class QueueChecker:
    #: Where to count what is rare.
    reached: Counter[str] = field(default_factory=Counter)
    tasks: dict[str, Known] = field(default_factory=dict)
    by_seq: dict[int, Known] = field(default_factory=dict)
    #: Whose each token ever handed out is or was: the task, and the worker's incarnation.
    tokens: dict[int, tuple[Known, bytes]] = field(default_factory=dict)
    last_token: int = 0
    runs: dict[int, Run] = field(default_factory=dict)
    executions: dict[str, int] = field(default_factory=dict)
    #: Tokens handed back with the promise that their code never began.
    released: set[int] = field(default_factory=set)
    #: By position: what was applied, and what that gave.
    applications: dict[Position, tuple[int, int]] = field(default_factory=dict)
    digests: dict[Position, bytes] = field(default_factory=dict)
    #: Committed outcomes since last asked for.
    settled: list[str] = field(default_factory=list)

    # ---- applying -------------------------------------------------------------------------------

    def applied(self, name: str, at: Position, data: bytes, applied: Applied) -> None:
        made = (crc32(data), crc32(repr(applied).encode()))
        known = self.applications.get(at)
        if known is not None:
            require(known == made, "same commands, same answers", f"{name} differs at {at}")
            return
        self.applications[at] = made
        self._commands(data, applied)
        for effect in applied.effects:
            self._effect(effect)

    def _commands(self, data: bytes, applied: Applied) -> None:
        for plain, reply in zip(decode_batch(data)[1], applied.replies, strict=True):
            command = commands.from_plain(plain)
            self.reached["contradiction refused"] += isinstance(reply, Rejected)
            match command:
                case Enqueue():
                    self._enqueues(command)
                case Release():
                    self._released(command)
                case Expire():
                    self._expires(command)
                    self._fails(command.token)
                case Fail():
                    self._fails(command.token)
                case Lose():
                    self._loses(command)
                case _:
                    pass

    def _effect(self, effect: Effect) -> None:
        match effect:
            case Queued(_, spec, first, tasks):
                self._queued(spec, list(enumerate(tasks, first)))
            case Begun(worker, spec, begun):
                self._queued(spec, [(seq, (task, data)) for _, seq, task, data in begun])
                self._assigned(worker, [(token, seq, 1) for token, seq, *_ in begun])
            case Assigned(worker, assigned):
                self._assigned(worker, assigned)
            case Settled():
                self._settled(effect)
            case Closed(token, seq):
                task = self._current(token, seq)
                text = f"{task.id} may run again after {task.losses} losses"
                require(task.losses < _losses_allowed(task), "quarantine", text)
                task.token = None
            case Requeued(_, seq):
                task = self.by_seq[seq]
                waits = task.token is None and task.outcome is None
                require(waits, "one owner", f"{task.id} waits again, but has {task}")
            case Stale(token):
                mine = self.tokens.get(token)
                stale = mine is None or mine[0].token != token
                require(stale, "first outcome", f"current token {token} is called stale")
            case NotAssigned():
                pass

    def digest(self, name: str, at: Position, digest: bytes) -> None:
        known = self.digests.setdefault(at, digest)
        require(known == digest, "same state", f"{name} holds another state after entry {at}")

    def _queued(self, spec: bytes, tasks: list[tuple[int, tuple[str, bytes]]]) -> None:
        start = crc32(spec)
        for seq, (task, payload) in tasks:
            require(task not in self.tasks, "once in", f"{task} is enqueued a second time")
            require(seq not in self.by_seq, "once in", f"number {seq} is given a second time")
            known = Known(task, decode_spec(spec), crc32(payload, start))
            self.tasks[task] = self.by_seq[seq] = known

    def _assigned(self, worker: bytes, tasks: list[tuple[int, int, int]]) -> None:
        for token, seq, attempt in tasks:
            task = self.by_seq[seq]
            text = f"token {token} of {task.id} follows {self.last_token}"
            require(token > self.last_token, "tokens grow", text)
            require(task.token is None, "one owner", f"{task.id} has {task.token} and {token}")
            require(task.outcome is None, "first outcome", f"{task.id} is over, and handed out")
            text = f"attempt {attempt} of {task.id} after {task.attempts}"
            require(attempt == task.attempts + 1, "attempts count", text)
            self.last_token = task.token = token
            task.attempts = attempt
            self.tokens[token] = (task, worker)

    def _current(self, token: int, seq: int) -> Known:
        task = self.by_seq[seq]
        text = f"token {token} of {task.id} ends, but {task.token} is current"
        require(task.token == token, "stale token", text)
        return task

    def _settled(self, effect: Settled) -> None:
        task = self._current(effect.token, effect.seq)
        require(task.outcome is None, "first outcome", f"{task.id} has a second outcome")
        run = self.runs.get(effect.token)
        if effect.state is State.SUCCEEDED:
            mine = run is not None and run.ok is True and run.data == effect.data
            text = f"{task.id} succeeded under {effect.token} with what its worker never computed"
            require(mine, "true results", text)
        elif effect.state is State.FAILED and not self._timed_out(effect, task):
            mine = run is not None and run.ok is False and run.data == effect.data
            require(mine, "true results", f"{task.id} failed under {effect.token}, not in its code")
        if effect.state is State.LOST:
            text = f"{task.id} is lost after {task.losses} losses"
            require(task.losses == _losses_allowed(task), "quarantine", text)
            self.reached["quarantined"] += task.losses > 1
        task.outcome = (effect.state, effect.data)
        task.token = None
        self.settled.append(task.id)

    def _timed_out(self, effect: Settled, task: Known) -> bool:
        late = decode_failure(effect.data).type == "TimeLimitExceeded"
        return task.spec.timeout > 0 and late and effect.token in self.runs

    def _fails(self, token: int) -> None:
        task = self.tokens[token][0]
        if task.token == token:
            task.failures += 1
            bound = 0 if task.spec.at_most_once else task.spec.retries
            text = f"{task.id} fails for the {task.failures}th time, {bound} retries are allowed"
            require(task.failures <= bound + 1, "retries bounded", text)

    def _loses(self, command: Lose) -> None:
        for token, started in command.tokens:
            task = self.tokens[token][0]
            task.losses += started and task.token == token

    def _enqueues(self, command: Enqueue) -> None:
        ids = [task for task, _ in cast("list[tuple[str, bytes]]", unpack(command.tasks))]
        self.reached["duplicate enqueue suppressed"] += any(task in self.tasks for task in ids)

    def _released(self, command: Release) -> None:
        for token in command.tokens:
            require(token not in self.runs, "released unstarted", f"the code of {token} ran")
            self.released.add(token)
            self.reached["handed back unstarted"] += 1

    def _expires(self, command: Expire) -> None:
        task = self.tokens[command.token][0]
        require(task.spec.timeout > 0, "lease", f"{task.id} has no time limit, and is expired")
        self.reached["expired by the leader"] += 1

    # ---- executing ------------------------------------------------------------------------------

    def began(self, token: int, task: str, worker: bytes, now: int) -> None:
        """A worker starts the code of a task."""
        require(token not in self.runs, "a token runs once", f"{token} of {task} runs again")
        require(token not in self.released, "released unstarted", f"{token} was handed back")
        owner = self.tokens.get(token)
        mine = owner is not None and (owner[0].id, owner[1]) == (task, worker)
        require(mine, "committed before pushed", f"{token} of {task} runs where it is not assigned")
        assert owner is not None
        self.runs[token] = Run(task, worker, now)
        count = self.executions[task] = self.executions.get(task, 0) + 1
        if owner[0].spec.at_most_once:
            require(count == 1, "at most once", f"{task} runs for the {count}th time")

    def ended(self, token: int, *, ok: bool, data: bytes) -> None:
        run = self.runs[token]
        run.ok, run.data = ok, data

    # ---- telling --------------------------------------------------------------------------------

    def told(self, result: Result, *, with_data: bool) -> None:
        """A client read an outcome (an answer has no data): it is the committed one."""
        task = self.tasks.get(result.id)
        committed = task.outcome if task is not None else None
        text = f"{result.id} is told to be {result.state!r}, committed is {committed}"
        same = committed is not None and committed[0] is result.state
        require(same, "true outcomes", text)
        assert committed is not None
        if with_data and not result.forgotten:
            require(committed[1] == result.data, "true outcomes", text)


def _losses_allowed(task: Known) -> int:
    return 1 if task.spec.at_most_once else task.spec.max_losses
