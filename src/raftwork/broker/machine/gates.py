"""The gates: how far each limit is used, by the tasks that run and by the clock of the log.

1. A limit has one gate, or one for each tenant or key that it counts apart. A task is handed out
   if all its gates let it in, and then counts at all of them; else it counts at none.
2. `held` is how many of the running tasks a gate let in: it changes where a token begins and where
   it ends, and nowhere else. So nothing that ends an attempt can forget it, or do it twice. It is
   in no table: those say which tasks run.
3. A rate is GCRA, in whole us of machine time: `tat` is when the next task would come if they came
   evenly. It is charged where a token begins. What comes back unstarted is given back if it was the
   last that was charged; further back, time may have repaid it already, and more would pass than
   the rate allows.
4. A gate has a row until time has opened it and nothing of it runs. A timer looks after those that
   time will open.
5. What a limit allows is not part of its gates, so a change of it holds at once and moves no count.
   Nor does a gate pay the debts of an old rate under a new one: 1/d made 100/s would be shut for a
   day. There may be a million gates, so each follows where it is looked at (`Gate.follow`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import apsw

from raftwork.features.limit_settings import GATE_TIMER, NEVER, GateName, Quota, gates_named
from raftwork.features.task_row import GATED
from raftwork.wire import pack, unpack

if TYPE_CHECKING:
    from raftwork.broker.machine.queue import Queue
    from raftwork.broker.machine.state import Ledger, Running

#: Gates kept in memory between transactions; the rest is read when it is needed.
_KEPT_MAX: Final = 20_000

_READ = """SELECT tat, last, before, shut_until, timer, since FROM gate
    WHERE name = ? AND key = ?"""
_PUT = "INSERT OR REPLACE INTO gate VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_DROP = "DELETE FROM gate WHERE name = ? AND key = ?"
_OF_TIMER = "SELECT name, key FROM gate WHERE timer = ?"
_ALL = "SELECT name, key FROM gate"
_OF_RUNNING = """SELECT token, gates FROM running JOIN task USING (seq)
    WHERE task.flags & ? ORDER BY token"""


@dataclass(slots=True)
class Gate:
    """A row of `gate`, all zero where there is none, and the tasks that it let in and that run."""

    #: Their tokens; never iterated by what every replica does.
    holders: set[int] = field(default_factory=set)
    tat: int = 0
    last: int = 0
    before: int = 0
    shut_until: int = 0
    timer: int = 0
    since: int = 0  # that of the quota that it follows
    stored: bool = False

    @property
    def held(self) -> int:
        """How many tasks count at it."""
        return len(self.holders)

    @property
    def blank(self) -> bool:
        """Whether it has no row."""
        return not (self.timer or self.tat or self.shut_until)

    def owed(self, quota: Quota) -> int:
        """Its `tat`, as far as it counts under this quota."""
        if self.since >= quota.since:
            return self.tat
        return min(self.tat, quota.since * 1_000 + quota.burst * quota.interval)

    def follow(self, quota: Quota) -> None:
        """What was owed, or shut, before the last word on its limit counts as `owed` says."""
        if self.since < quota.since:
            self.cut(quota.since * 1_000 + quota.burst * quota.interval)
            self.shut_until, self.since = 0, quota.since

    def cut(self, most: int) -> None:
        """It owes no more than that, nor does it once its last task came back unstarted."""
        self.tat, self.before = min(self.tat, most), min(self.before, most)

    def opens_at(self, quota: Quota, time: int, held: int, ahead: int = 0) -> int:
        """0 if one more may pass; else when time alone lets it (ms), or NEVER.

        `held` is what is to be counted already, `ahead` the `tat` after it.
        """
        full = 0 < quota.concurrency <= held
        if not (quota.tasks or quota.paused_until or self.shut_until):
            return NEVER if full else 0
        shut_until = self.shut_until if self.since >= quota.since else 0
        at = max(quota.paused_until, shut_until)
        if quota.tasks:
            us = max(self.owed(quota), ahead) - (quota.burst - 1) * quota.interval
            at = max(at, -(-us // 1_000))
        if at > time:
            return at
        return NEVER if full else 0


class Gates:
    """All gates, and what the limits allow."""

    def __init__(self, db: apsw.Connection, *, tables: bool) -> None:
        """`tables`: whether there are any."""
        self._db = db
        #: By the limits' names.
        self.quotas: dict[str, Quota] = {}
        self._gates: dict[GateName, Gate] = {}
        self._changed: set[GateName] = set()
        #: Whether `flush` has anything to do.
        self.stirred = False
        #: The gates that each running task counts at, by token.
        self._of: dict[int, tuple[GateName, ...]] = {}
        #: Gates that may let in more than before, in the order of the changes.
        self.freed: dict[GateName, None] = {}
        #: How many have a row, or get one at the next flush: of each limit, and of all. An empty
        #: name is the queues'.
        self._rows_of: Counter[str] = Counter()
        self.rows = 0
        if tables:
            self._load()

    def _load(self) -> None:
        db = self._db
        for name, settings in db.execute("SELECT name, settings FROM quota ORDER BY name"):
            self.quotas[name] = Quota(*unpack(settings))  # type: ignore[misc]
        for name, key in db.execute(_ALL):
            self._count((name, key), 1)
            self.find((name, key))
        for token, text in db.execute(_OF_RUNNING, (GATED,)):
            names = self._of[token] = gates_named(text)
            for each in names:
                self.find(each).holders.add(token)

    # ---- limits --------------------------------------------------------------------------------

    def set(self, name: str, quota: Quota) -> None:
        """This is what the limit allows from now on, and its gates are as they are."""
        self.quotas[name] = quota
        self._db.execute("INSERT OR REPLACE INTO quota VALUES (?, ?)", (name, pack(quota)))

    def renew(self, ledger: "Ledger", name: str, quota: Quota) -> None:
        """As `set`; what its gates owed to an old rate, or code has shut, holds up nobody."""
        self.set(name, quota._replace(since=max(quota.since + 1, ledger.time)))

    def cut(self, ledger: "Ledger", queue: str, quota: Quota) -> None:
        """The same for a queue, which has one gate."""
        gate, name = self.find(("", queue)), ("", queue)
        most = ledger.time * 1_000 + quota.burst * quota.interval
        if gate.tat > most:
            gate.cut(most)
            self._changes(name, gate, was_blank=False)
            self.freed[name] = None

    def delete(self, name: str) -> None:
        """There is no such limit any more: its gates let everything in. What they count stays."""
        del self.quotas[name]
        self._db.execute("DELETE FROM quota WHERE name = ?", (name,))

    # ---- gates ---------------------------------------------------------------------------------

    def find(self, name: GateName) -> Gate:
        """Not to be changed elsewhere."""
        gate = self._gates.get(name)
        if gate is None:
            gate = self._gates[name] = Gate()
            self.stirred = self.stirred or len(self._gates) > _KEPT_MAX
            # Most limits have no rate, and none of their gates ever has a row.
            has_rows = self._rows_of.get(name[0], 0) > 0
            row = self._db.execute(_READ, name).fetchone() if has_rows else None
            if row is not None:
                (gate.tat, gate.last, gate.before, gate.shut_until, gate.timer, gate.since) = row
                gate.stored = True
        return gate

    def enter(
        self, names: tuple[GateName, ...], queue: "Queue", ledger: "Ledger", token: int
    ) -> bool:
        """Have a task count at all its gates and its queue's, under this token; or at none."""
        quotas: list[tuple[GateName, Gate, Quota | None]] = []
        for name in names:
            gate, quota = self.find(name), self.quotas.get(name[0])
            if quota is not None and gate.opens_at(quota, ledger.time, gate.held):
                return False
            quotas.append((name, gate, quota))
        if queue.quota is not None:
            gate = self.find(of_queue := ("", queue.name))
            if gate.opens_at(queue.quota, ledger.time, queue.running):
                return False
            if queue.quota.tasks:
                self._charge(ledger, of_queue, gate, queue.quota, token)
        for name, gate, quota in quotas:
            gate.holders.add(token)
            if quota is not None and quota.tasks:
                self._charge(ledger, name, gate, quota, token)
        if names:
            self._of[token] = names
        return True

    def _charge(
        self, ledger: "Ledger", name: GateName, gate: Gate, quota: Quota, token: int
    ) -> None:
        was_blank = gate.blank
        gate.follow(quota)
        gate.last, gate.before = token, gate.tat
        gate.tat = max(gate.tat, ledger.time * 1_000) + quota.interval
        self._changes(name, gate, was_blank=was_blank)
        self._rest(ledger, name, gate)

    def leave(self, ledger: "Ledger", token: int) -> None:
        """The token is over: its task counts no more at the gates that it passed."""
        for name in self._of.pop(token):
            gate = self._gates[name]  # as long as it is held it is kept
            gate.holders.remove(token)
            self.freed[name] = None
            if gate.tat or gate.shut_until:
                self._rest(ledger, name, gate)

    def give_back(self, ledger: "Ledger", run: "Running") -> None:
        """The task, which still counts, comes back unstarted: its rates are not charged for it."""
        of_queue = () if ledger.queues[run.queue].quota is None else (("", run.queue),)
        for name in (*self._of.get(run.token, ()), *of_queue):
            gate = self.find(name)
            if gate.last == run.token:
                gate.tat, gate.last, gate.before = gate.before, 0, 0
                self._changes(name, gate, was_blank=False)
                self.freed[name] = None

    def shut(self, ledger: "Ledger", name: GateName, until: int) -> None:
        """Nothing passes until then, machine time."""
        gate = self.find(name)
        was_blank = gate.blank
        if (quota := self.quotas.get(name[0])) is not None:
            gate.follow(quota)
        gate.shut_until = max(gate.shut_until, until)
        self._changes(name, gate, was_blank=was_blank)
        self._rest(ledger, name, gate)

    def of(self, token: int) -> tuple[GateName, ...]:
        """The gates that a running task counts at."""
        return self._of.get(token, ())

    def look(self, ledger: "Ledger", timers: Sequence[int]) -> None:
        """The timers that these numbers were given are due."""
        self.flush()
        for number in timers:
            row = self._db.execute(_OF_TIMER, (number,)).fetchone()
            assert row is not None, "a timer of no gate"
            name: GateName = (row[0], row[1])
            gate = self.find(name)
            gate.timer = 0
            self._changes(name, gate, was_blank=False)
            self._rest(ledger, name, gate)

    def _rest(self, ledger: "Ledger", name: GateName, gate: Gate) -> None:
        """See to it that the row goes, at once or in time, unless a running task keeps it."""
        if gate.holders or gate.timer or not (gate.tat or gate.shut_until):
            return
        until = max(gate.shut_until, -(-gate.tat // 1_000))
        if until <= ledger.time:
            gate.tat = gate.last = gate.before = gate.shut_until = gate.since = 0
            self._changes(name, gate, was_blank=False)
            return
        ledger.seq += 1
        gate.timer = ledger.seq
        self._changed.add(name)
        self.stirred = True
        ledger.set_timer(until, GATE_TIMER, gate.timer)

    def _changes(self, name: GateName, gate: Gate, *, was_blank: bool) -> None:
        self._changed.add(name)
        self.stirred = True
        self._count(name, was_blank - gate.blank)

    def _count(self, name: GateName, more: int) -> None:
        """An entry goes with the last: there may have been any number of limits."""
        if not more:
            return
        self.rows += more
        self._rows_of[name[0]] += more
        if not self._rows_of[name[0]]:
            del self._rows_of[name[0]]

    def use_of(self, limit: str) -> tuple[int, int]:
        """The running tasks that count at a limit, and its gates that are in use."""
        running, without_row = 0, set()
        for names in self._of.values():
            for name in names:
                if name[0] == limit:
                    running += 1
                    if self._gates[name].blank:
                        without_row.add(name)
        return running, self._rows_of[limit] + len(without_row)

    # ---- what happened, and the tables ---------------------------------------------------------

    def take_freed(self) -> list[GateName]:
        """Those in `freed`, drained."""
        freed, self.freed = list(self.freed), {}
        return freed

    def flush(self) -> None:
        """Write what changed since the last time."""
        if not self.stirred:
            return
        self.stirred = False
        changed = sorted(self._changed)
        self._changed = set()
        put, drop = [], []
        for name in changed:
            gate = self._gates[name]
            if not gate.blank:
                times = (gate.tat, gate.last, gate.before, gate.shut_until)
                put.append((*name, *times, gate.timer, gate.since))
            elif gate.stored:
                drop.append(name)
            gate.stored = not gate.blank
        self._db.executemany(_PUT, put)
        self._db.executemany(_DROP, drop)
        if len(self._gates) > _KEPT_MAX:
            self._gates = {name: gate for name, gate in self._gates.items() if gate.holders}
