"""One trial: a load of clients and workers, faults while it runs, last questions, the verdict."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from raftwork import App, RaftworkError, Run, Unsupported
from raftwork.chaos.beat import Beat
from raftwork.chaos.checker import Verdict, judge
from raftwork.chaos.history import (
    AUDIT,
    Asked,
    Counted,
    Ended,
    Healed,
    Journal,
    Started,
    Struck,
    now,
    read,
)
from raftwork.chaos.limits import TrialLimits
from raftwork.chaos.nemesis import Fault, Nemesis, NoVictim, Reviver, Victim
from raftwork.chaos.processes import Brokers
from raftwork.chaos.tasks import QUEUE
from raftwork.chaos.timings import Timings, measure
from raftwork.chaos.workload import SETTLED_WITHIN_S, ended
from raftwork.testing.processes import Child, LocalCluster

#: Seconds for a cluster to be whole: a leader, every broker following it, every worker known.
WHOLE_WITHIN_S = 60.0
#: Log entries by which a follower of a whole cluster may lag.
LAG = 200
#: Outcomes asked for at once.
AUDIT_BATCH = 1000
#: Seconds without a word, after which a wait is explained.
QUIET_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every `every` seconds one of `faults` at random, each `lasting`; `duration` altogether."""

    faults: Sequence[Fault]
    every: float
    lasting: float
    duration: float
    clients: int = 3
    workers: int = 2
    slots: int = 4
    rate: float = 150.0  # tasks/s


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on a trial, how long things took, and the faults that were injected, by kind."""

    verdict: Verdict
    timings: Timings
    faults: Counter[str]
    #: What went wrong with the trial or the cluster besides the verdict's findings.
    troubles: list[str]
    seconds: float

    @property
    def good(self) -> bool:
        """Whether every guarantee held and the trial itself went well."""
        return self.verdict.good and not self.troubles


@contextmanager
def own_cluster(directory: Path, consensus: str) -> Iterator[Brokers]:
    """Three brokers below `directory`, killed in the end. TimeoutError if one won't start."""
    with LocalCluster(directory, consensus=consensus) as local:
        children = [local.start_broker(name) for name in local.addresses]
        deadline = now() + WHOLE_WITHIN_S
        while not all((local.data(name) / "broker.pid").exists() for name in local.addresses):
            if now() > deadline or not all(child.alive for child in children):
                tails = "\n".join(child.tail() for child in children)
                raise TimeoutError(f"the brokers did not start:\n{tails}")
            time.sleep(0.02)
        yield Brokers([directory])


class TrialProcesses:
    """The trial's own workers and clients. No name is ever used twice."""

    def __init__(self, brokers: str, directory: Path, plan: Plan) -> None:
        self._brokers = brokers
        self._directory = directory
        self._plan = plan
        self._journals = directory / "history"
        self._journals.mkdir()
        # On a running cluster other trials' tasks may still be known under their ids.
        self._prefix = f"{time.time_ns() // 1_000_000_000:x}"
        self._made = 0
        self._present: dict[str, list[Child]] = {"worker": [], "client": []}
        self._gone: list[Child] = []

    @property
    def journals(self) -> Path:
        """The directory of the trial's journals, one per process."""
        return self._journals

    def beat(self) -> Beat:
        """A schedule of tasks like those of the clients."""
        return Beat(self._brokers, f"{self._prefix}-beat", str(self._journals))

    def limits(self) -> TrialLimits:
        """The limits that tasks of the clients name."""
        return TrialLimits(self._brokers, self._prefix)

    def start(self, role: str) -> None:
        """Start a process with the role "worker" or "client"."""
        self._made += 1
        name = f"{self._prefix}-{role[0]}{self._made}"
        if role == "worker":
            flags = ("--brokers", self._brokers, "--name", name, "--queues", QUEUE)
            slots = ("--concurrency", str(self._plan.slots))
            child = self._child(name, "worker", "raftwork.chaos.tasks:app", *flags, *slots)
        else:
            rate = str(self._plan.rate / self._plan.clients)
            arguments = (name, self._brokers, str(self._journals), rate)
            child = self._child(name, *arguments, module="raftwork.chaos.workload")
        self._present[role].append(child)

    def victims(self, role: str) -> list[Victim]:
        """The running processes of this role."""
        return [self._victim(role, child) for child in self._present[role] if child.alive]

    def workers(self) -> set[str]:
        """The names of the workers that have not been replaced."""
        return {child.name for child in self._present["worker"]}

    def stop_clients(self) -> list[str]:
        """Let the clients finish; returns what went wrong."""
        troubles = []
        for child in self._present["client"]:
            while child.alive and not (self._journals / child.name).exists():
                time.sleep(0.01)  # not yet ready to be told
            child.signal(signal.SIGTERM)
        for child in self._present["client"]:
            try:
                if code := child.wait(SETTLED_WITHIN_S * 2):
                    troubles.append(f"the client {child.name} ended with {code}\n{child.tail()}")
            except TimeoutError as error:
                troubles.append(str(error))
        return troubles

    def close(self) -> None:
        """Kill every process of the trial, and what those have started."""
        for child in (*self._gone, *self._present["client"], *self._present["worker"]):
            child.kill_group()

    def _victim(self, role: str, child: Child) -> Victim:
        return Victim(child.name, child, lambda: lambda: self._replace(role, child))

    def _replace(self, role: str, child: Child) -> None:
        child.kill_group()
        self._present[role].remove(child)
        self._gone.append(child)
        self.start(role)

    def _child(self, name: str, *arguments: str, module: str = "raftwork") -> Child:
        return Child(name, list(arguments), self._directory, {}, module)


class Trial:
    """A load on running brokers, the faults of `plan`, and a verdict. Progress goes to `say`."""

    def __init__(
        self, brokers: Brokers, directory: Path, plan: Plan, say: Callable[[str], None]
    ) -> None:
        self._brokers = brokers
        self._plan = plan
        self._say = say
        self._processes = TrialProcesses(brokers.text, directory, plan)
        self._rng = Random()
        self._journal = Journal(self._processes.journals / "trial")
        others = {role: partial(self._processes.victims, role) for role in ("worker", "client")}
        self._reviver = Reviver()
        self._nemesis = Nemesis(brokers, others, self._reviver, self._journal.write, self._rng)
        self._troubles: list[str] = []
        self._beat = self._processes.beat()
        self._limits = self._processes.limits()
        self._began = now()

    def run(self) -> Report:
        """Raises TimeoutError if there never was a whole cluster to begin with."""
        with self.load():
            self._torment()
        return self.report()

    @contextmanager
    def load(self) -> Iterator[None]:
        """Clients and workers for the length of the block; then the last questions are asked.

        Raises TimeoutError if there never was a whole cluster to begin with.
        """
        try:
            self._begin()
            yield
            self._say("no more faults; waiting for what is out")
            self.wait_until_whole()
            self._troubles += self._processes.stop_clients()
            self._end_beat()
            self._audit()
            self._end_limits()
        finally:
            self._processes.close()

    def report(self) -> Report:
        """The verdict, after `load`."""
        history = read(self._processes.journals)
        faults = Counter(f"{e.fault} {e.role}" for e in history if isinstance(e, Struck))
        if not faults:
            self._troubles.append("no fault was injected")
        took = now() - self._began
        return Report(judge(history), measure(history), faults, self._troubles, took)

    def strike(self, fault: Fault) -> None:
        """Inject one fault and wait until the cluster is whole again; a failure is a trouble."""
        self._say(f"{fault.kind} {fault.role}")
        try:
            self._nemesis.strike(fault, self._plan.lasting)
        except NoVictim as error:
            self._troubles.append(f"{fault.kind}: {error}")
        self.wait_until_whole()

    @contextmanager
    def struck(self, fault: str, role: str, victim: str) -> Iterator[None]:
        """Record a fault that the caller injects."""
        self._say(f"{fault} {role}")
        self._journal.write(Struck(now(), fault, role, victim))
        yield
        self._journal.write(Healed(now(), fault, victim))

    def close(self) -> None:
        """End the brokers that were started again: for a cluster of one's own."""
        self._reviver.end()

    def _begin(self) -> None:
        for _ in range(self._plan.workers):
            self._processes.start("worker")
        if (missing := self._missing(WHOLE_WITHIN_S)) is not None:
            raise TimeoutError(f"no whole cluster within {WHOLE_WITHIN_S:.0f} s: {missing}")
        self._nemesis.check(self._plan.faults)
        self._beat.begin()
        self._journal.write(*self._limits.begin())
        for _ in range(self._plan.clients):
            self._processes.start("client")

    # ---- faults -------------------------------------------------------------------------------

    def _torment(self) -> None:
        end = now() + self._plan.duration
        due = now() + self._plan.every
        while due < end:
            time.sleep(max(0.0, due - now()))
            due = now() + self._plan.every
            self.strike(self._rng.choice(self._plan.faults))

    def wait_until_whole(self) -> None:
        """Wait for every broker and worker to play its part; a trouble if that takes too long."""
        began = now()
        if (missing := self._missing(WHOLE_WITHIN_S)) is not None:
            self._troubles.append(f"not whole again within {WHOLE_WITHIN_S:.0f} s: {missing}")
        self._say(f"  whole again after {now() - began:.1f} s")

    def _missing(self, within: float) -> str | None:
        """What a whole cluster still lacks after at most `within` seconds."""
        began, said = now(), False
        while (missing := self._lack()) is not None and now() < began + within:
            if not said and now() > began + QUIET_S:
                said = True
                self._say(f"  waiting up to {within:.0f} s for a whole cluster: {missing}")
            time.sleep(0.05)
        return missing

    def _lack(self) -> str | None:
        seen = self._brokers.see()
        if seen.leader is None:
            return "no leader"
        statuses = [row.status for row in seen.brokers]
        applied = max(status.applied for status in statuses if status)
        for row in seen.brokers:
            if row.status is None:
                return f"{row.name} does not answer"
            if row.status.role not in ("leader", "follower") or row.status.leader != seen.leader:
                return f"{row.name} is a {row.status.role} of {row.status.leader or 'no leader'}"
            if row.status.applied < applied - LAG:
                return f"{row.name} has applied {row.status.applied} of {applied}"
        active = {worker.name for worker in seen.workers if worker.state == "active"}
        absent = self._processes.workers() - active
        return f"{', '.join(sorted(absent))} not listed as active" if absent else None

    # ---- the last questions -------------------------------------------------------------------

    def _end_beat(self) -> None:
        history = list(read(self._processes.journals))
        clocks_set = any(isinstance(e, Struck) and e.fault.startswith("clock") for e in history)
        started = dict.fromkeys(e.task for e in history if isinstance(e, Started))
        try:
            events, wrong = self._beat.end(started, clocks_set=clocks_set)
        except RaftworkError as error:
            events, wrong = [], f"the schedule's ticks could not be asked for: {error}"
        self._journal.write(*events)
        self._troubles += [wrong] if wrong else []

    def _end_limits(self) -> None:
        try:
            self._limits.end()
        except RaftworkError as error:
            self._troubles.append(f"the trial's limits could not be deleted: {error}")

    def _audit(self) -> None:
        """Ask for the outcome of every task that was enqueued, over a fresh connection."""
        asked = {e.task: None for e in read(self._processes.journals) if isinstance(e, Asked)}
        tasks = list(asked)
        self._say(f"asking for the outcomes of {len(tasks)} tasks")
        deadline = now() + SETTLED_WITHIN_S
        with App(brokers=self._brokers.text, timeout=SETTLED_WITHIN_S) as app:
            for first in range(0, len(tasks), AUDIT_BATCH):
                runs = [app.run(task) for task in tasks[first : first + AUDIT_BATCH]]
                for run in runs:
                    # Time is only out when nothing has come for so long.
                    end = _ended(run, max(0.0, deadline - now()))
                    deadline = now() + SETTLED_WITHIN_S if end.state != "none" else deadline
                    self._journal.write(end)
                    if end.state == "failed":
                        self._journal.write(*_counted(run))


def _ended(run: Run[Any], within: float) -> Ended:
    try:
        value = run.result(timeout=within)
    except (RaftworkError, TimeoutError) as error:
        return ended(AUDIT, run.id, error)
    return Ended(now(), AUDIT, run.id, "succeeded", *value)


def _counted(run: Run[Any]) -> Iterator[Counted]:
    """How often it failed; nothing from a cluster whose level knows no such count."""
    with suppress(Unsupported):
        yield Counted(now(), AUDIT, run.id, run.info().failures + 1)
