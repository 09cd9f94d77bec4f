"""What becomes of assigned tasks, by their workers' reports and in want of them. Sans-IO.

It proposes how an attempt ends; the machine decides. Which token is whose, and when a worker was
silent for too long, is in the registry.

A frame of an older session is dropped by the worker, so what its hello does not list never arrived.
Not so the hello that is said for a killed one, in the LAST_SESSION: its outcomes went with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.broker.machine.commands import (
    TIME_MAX,
    Expire,
    Fail,
    Finish,
    Grew,
    HoldBack,
    Lose,
    LoseSaying,
    Postpone,
    Release,
)
from raftwork.broker.split_by_size import split_by_size
from raftwork.broker.workers.retry_backoff import retry_at
from raftwork.broker.workers.validation import failure_of, growth_of, log_of
from raftwork.errors import PayloadTooLarge, ProtocolError
from raftwork.features.history import NameWorker, Ran
from raftwork.features.task_batch import LEVEL_OPTIONS
from raftwork.messages import LAST_SESSION, PAYLOAD_MAX, Failure, Held, Loss, encode_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from random import Random

    from raftwork.broker.machine import Machine
    from raftwork.broker.machine.commands import Command
    from raftwork.broker.service_counters import ServiceCounters
    from raftwork.broker.workers.announcements import WorkerEvents
    from raftwork.broker.workers.attribution import Attribution
    from raftwork.broker.workers.worker import Assignment, Worker
    from raftwork.messages import Outcome, Report, WorkerHello

#: Past a task's own time limit, how long the leader leaves its end to the worker, ms.
EXPIRY_GRACE_MS = 5_000
#: At most so many bytes of values in one Finish.
FINISH_BYTES = 1024 * 1024


class Reports:
    """The ends of attempts that one leadership proposes."""

    def __init__(
        self,
        machine: Machine,
        attribution: Attribution,
        events: WorkerEvents,
        rng: Random,
        counters: ServiceCounters,
    ) -> None:
        self._machine = machine
        self._attribution = attribution
        self._events = events
        self._rng = rng
        self._counters = counters
        self._commands: list[Command] = []
        self._finished: list[tuple[int, bytes]] = []
        self._named: list[NameWorker] = []
        #: Of what ends, how long its code ran (ms), where that was long enough to be told of.
        self._ran: list[tuple[int, int]] = []

    def take(self, worker: Worker, report: Report, now: int, time: int) -> None:
        """What happened to its tokens; `time` is leader time."""
        for token, age in report.started:
            assignment = worker.assignments.get(token)
            if assignment is not None:
                assignment.started = now - age
        unknown: list[int] = []
        for outcome in report.outcomes:
            token = outcome.token
            if self._is_news(worker, token):
                began = worker.assignments[token].started
                if began is not None:
                    self._ran.append((token, max(0, now - began)))
                if not worker.introduced:
                    self._introduce(worker)
                if outcome.unknown and self._attribution.unregistered_task(worker, token, now):
                    unknown.append(token)  # whatever was seen of it, no code began
                else:
                    self._propose(worker, outcome, now, time)
        if unknown:
            self._commands.append(Release(unknown))
        self.release(worker, report.released)

    def settle_hello(
        self, worker: Worker, hello: WorkerHello, unsent: Collection[int], now: int
    ) -> list[int]:
        """Settle every token that a worker has or should have; returns those that it is to stop.

        `unsent` are those that were not sent to it yet.
        """
        stop: list[int] = []
        listed = set[int]()
        for token, held, age in hello.holding:
            assignment = worker.assignments.get(token)
            if assignment is None:
                (worker.acks if held is Held.DONE else stop).append(token)
                continue
            listed.add(token)  # of ours alone: a stranger's could be chosen to have one hash
            assignment.known = True
            assignment.started = now - age if held is not Held.WAITING else None
            if assignment.cancelling and held is not Held.DONE:
                worker.cancels.append(token)
        missing = [
            assignment
            for token, assignment in worker.assignments.items()
            if token not in listed and assignment.undecided
        ]
        if hello.session == LAST_SESSION:
            self._lose_missing(worker, missing, unsent)
        else:
            self._send_again(worker, missing)
        return stop

    def _send_again(self, worker: Worker, missing: Sequence[Assignment]) -> None:
        """These never arrived."""
        forgotten: list[tuple[int, bool]] = []
        cancelled: list[int] = []
        for assignment in missing:
            if assignment.started is None and assignment.cancelling:
                cancelled.append(assignment.token)
            elif assignment.started is None:
                self._push_again(worker, assignment)
            else:  # it told us that the code began, and knows nothing of it now
                assignment.lost = True
                forgotten.append((assignment.token, True))
        if forgotten:
            self.lose(forgotten, Loss(worker.name))
        self.release(worker, cancelled)

    def _push_again(self, worker: Worker, assignment: Assignment) -> None:
        assignment.known = True
        worker.push.owed.append(assignment.token)

    def _lose_missing(
        self, worker: Worker, missing: Sequence[Assignment], unsent: Collection[int]
    ) -> None:
        """The worker was killed while the code of these did not run: it may have run before that.

        What was sent for a free slot began as it came: at most once, it would run a second time,
        and what expires would be told as never begun. No loss counts against the others.
        """
        lost: list[tuple[int, bool]] = []
        for assignment in missing:
            assignment.lost = True
            in_doubt = assignment.needs_free_slot and assignment.token not in unsent
            lost.append((assignment.token, assignment.started is not None or in_doubt))
        if lost:
            self.lose(lost, Loss(worker.name))

    def release(self, worker: Worker, tokens: Sequence[int]) -> None:
        """Handed back: a task that never began waits again as if it had never been assigned."""
        released: list[int] = []
        begun: list[tuple[int, bool]] = []
        for token in tokens:
            if self._is_news(worker, token):
                if worker.assignments[token].started is None:
                    released.append(token)
                else:
                    begun.append((token, True))
        if released:
            self._commands.append(Release(released))
        if begun:
            self.lose(begun, Loss(worker.name))

    def lose(self, tokens: list[tuple[int, bool]], by: Loss = Loss()) -> None:  # noqa: B008
        """Their worker is gone, or has none of them: (token, whether its code may have begun)."""
        self._commands.append(Lose(tokens, by))

    def lose_all(
        self, worker: Worker, tokens: list[tuple[int, bool]], last_lines: Callable[[int], str]
    ) -> None:
        """The worker is gone with these. Of what somebody followed, the last lines are known."""
        by, silent = Loss(worker.name), list[tuple[int, bool]]()
        for token, begun in tokens:
            if begun and (log := last_lines(token)):
                self._commands.append(LoseSaying(token, by, log))
            else:
                silent.append((token, begun))
        # Also without a token: it is this one that tells that the worker is lost.
        self.lose(silent, by)

    def expire(self, worker: Worker, now: int, time: int) -> None:
        """End what runs over its time limit and was not ended by the worker."""
        for assignment in worker.assignments.values():
            limit_at, token = assignment.limit_at, assignment.token
            if limit_at is not None and now > limit_at + EXPIRY_GRACE_MS:
                assignment.expired = now
                self._events.overdue(worker, token, assignment.timeout)
                self._commands.append(Expire(token, self._retry_at(token, time)))

    @property
    def has_commands(self) -> bool:
        """Whether there is anything in `notes` or `commands`."""
        return bool(self._commands or self._finished or self._named or self._ran)

    def commands(self) -> list[Command]:
        """What to propose, drained."""
        out, self._commands = self._commands, []
        if self._finished:
            out.extend(
                map(Finish, split_by_size(self._finished, lambda o: len(o[1]), FINISH_BYTES))
            )
            self._finished = []
        return out

    def notes(self) -> Sequence[Command]:
        """What the entry with the next `commands` says before them for the history, drained.

        It is worth no entry of its own: there is nothing to say unless something ends.
        """
        if not self._named and not self._ran:
            return ()
        notes: list[Command] = [*self._named]
        if self._ran:
            notes.append(Ran(self._ran))
        self._named, self._ran = [], []
        return notes if self._machine.level >= LEVEL_OPTIONS else ()

    def _introduce(self, worker: Worker) -> None:
        """Have the log know its name: what ends under it says then where it ran."""
        if self._machine.level >= LEVEL_OPTIONS:
            worker.introduced = True
            if worker.incarnation not in self._machine.state.worker_numbers:
                self._named.append(NameWorker(worker.incarnation, worker.name))

    def _is_news(self, worker: Worker, token: int) -> bool:
        """Whether it is the first report about `token`; not the worker's, it is acknowledged."""
        assignment = worker.assignments.get(token)
        if assignment is None:
            self._counters.stale_reports += 1
            worker.acks.append(token)
            return False
        if assignment.done:
            return False  # proposed already; the acknowledgement follows
        worker.ends(assignment)
        assignment.done = True
        worker.breaker.ended()
        return True

    def _propose(self, worker: Worker, outcome: Outcome, now: int, time: int) -> None:
        if outcome.loss is not None:
            by = outcome.loss._replace(worker=worker.name)
            self._events.attempt_lost(worker, outcome.token)
            self._attribution.lost(worker, outcome.token, now)
            if log := log_of(outcome, self._machine.level):
                self._commands.append(LoseSaying(outcome.token, by, log))
            else:
                self.lose([(outcome.token, True)], by)
        elif outcome.ok and len(outcome.data) <= PAYLOAD_MAX:
            self._finished.append((outcome.token, outcome.data))
            worker.breaker.succeeded()
        elif not self._grew(worker, outcome, time):
            ended = failure_of(outcome, self._machine.level)
            if ended.resumes and self._machine.level >= LEVEL_OPTIONS:
                self._commands.append(Postpone(outcome.token, time))
                return
            if ended.limit is not None and self._machine.level >= LEVEL_OPTIONS:
                until = min(time + (ended.after or 0), TIME_MAX)
                self._commands.append(HoldBack(outcome.token, until, ended.limit, ended.failure))
                return
            retry_at = self._retry_at(outcome.token, time, ended.after)
            if not worker.assignments[outcome.token].cancelling:
                self._events.attempt_failed(worker, outcome, ended.failure, retry_at - time)
            self._commands.append(Fail(outcome.token, ended.failure, retry_at, outcome.final))

    def _grew(self, worker: Worker, outcome: Outcome, time: int) -> bool:
        """Propose the tasks that its code made together with its outcome, if it made any."""
        try:
            grown = growth_of(outcome, self._machine.level, self._machine.settings)
        except (ProtocolError, PayloadTooLarge) as error:
            failure = encode_failure(Failure(type(error).__name__, str(error), ""))
            self._commands.append(Fail(outcome.token, failure, time, final=True))
            return True
        if grown is None:
            return False
        self._commands.append(Grew(outcome.token, *grown, self._retry_at(outcome.token, time)))
        worker.breaker.succeeded()
        return True

    def _retry_at(self, token: int, time: int, after: int | None = None) -> int:
        return retry_at(self._machine.current(token), time, self._rng, after)
