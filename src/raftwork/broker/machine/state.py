"""What the machine knows by heart: counters, queues, and the tasks that run.

Everything here is also in the tables, except what changed since the last `flush`. The running set
is bounded by the workers' slots; waiting tasks live in the tables alone.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from json import dumps
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import apsw

from raftwork.broker.machine import cluster_settings, level_two
from raftwork.broker.machine.entry_versions import check_level
from raftwork.broker.machine.gates import Gates
from raftwork.broker.machine.lanes import Lanes
from raftwork.broker.machine.level_two import ByLevel
from raftwork.broker.machine.links import Links
from raftwork.broker.machine.migrations import check_version
from raftwork.broker.machine.queue import Queue, load_queues, put_queues
from raftwork.features import history, starts
from raftwork.features.cluster_settings import ClusterSettings
from raftwork.features.event_journal import Journal
from raftwork.features.lifecycle import Hooks, entering
from raftwork.features.number_ranges import spans
from raftwork.features.schedule_rows import Schedules
from raftwork.features.task_row import BEGUN, DELAYED, FINISHED, GATED, TIMED, TOMBSTONE, UNIQUE
from raftwork.messages import State, decode_spec
from raftwork.release import Levels
from raftwork.wire import maker

if TYPE_CHECKING:
    from raftwork.features.effects import Effect
    from raftwork.features.lifecycle import Lifecycle, TimerKind

#: Later than any machine time.
NEVER = 2**63 - 1

#: A few hundred kinds of task make up a cluster's traffic; decoding is a pure function.
spec_of = lru_cache(maxsize=1024)(decode_spec)


class Running(NamedTuple):
    """A task under a current token."""

    token: int
    seq: int
    id: str
    queue: str
    worker: bytes  # the incarnation that holds it
    spec: bytes
    attempt: int  # 1 at the first hand-out
    failures: int
    losses: int
    size: int  # bytes of its payload
    flags: int = 0  # features/task_flags.py; an ordinary task has none
    lane: int = 0  # where it waited


_row, _running = attrgetter("token", "seq", "worker"), maker(Running)

_counters = attrgetter(
    *("time", "seq", "token", "results", "result_bytes", "tombstones", "last_queue")
)

_DEAD = "SELECT count(*), coalesce(sum(length(spec) + length(payload)), 0) FROM dead"
_DEAD_IN = "SELECT queue, count(*) FROM dead GROUP BY queue"


#: For such tasks it is kept whether their code has begun.
_TOLD_BEGUN = TIMED | UNIQUE
_BEGUN = "UPDATE task SET flags = flags | ? WHERE seq = ?"
_DROP_RUNNING = "DELETE FROM running WHERE token = ?"
_DROP_RUNNING_SPAN = "DELETE FROM running WHERE token BETWEEN ? AND ?"
_CHECKSUMS = "SELECT task.id, crc FROM json_each(?) CROSS JOIN task ON task.id = value"
_NUMBERS = "SELECT task.seq FROM json_each(?) CROSS JOIN task ON task.id = value"
_FIRST_RESULTS = """SELECT length(body) FROM task WHERE phase = ? AND due IS NOT NULL
    ORDER BY due, seq LIMIT ?"""
_RUNNING = ByLevel(
    """SELECT token, seq, task.id, queue.name, worker, spec, attempt + 1, failures, losses,
        length(body), {flags}, {lane}
    FROM running JOIN task USING (seq) JOIN queue ON queue.number = task.queue
    ORDER BY token"""
)
_COUNTERS = """UPDATE machine SET time = ?, seq = ?, token = ?,
    results = ?, result_bytes = ?, tombstones = ?"""
_COUNTERS_TWO = f"{_COUNTERS}, queues = ?"
_FIRST_DEAD = "SELECT length(spec) + length(payload) FROM dead ORDER BY number LIMIT ?"


class Ledger:
    """The machine's memory over its tables."""

    def __init__(
        self,
        db: apsw.Connection,
        levels: Levels,
        lifecycles: Sequence["Lifecycle"] = (),
        timers: Sequence["TimerKind"] = (),
    ) -> None:
        """`levels` are those that this release runs. Raises OtherRelease; see migrations.py."""
        self.db = db
        self.levels = levels
        #: The capabilities that take part in the lives of tasks that are not ordinary ones.
        self.lifecycles = tuple(lifecycles)
        self.enters = entering(self.lifecycles)
        #: What is to be called for tasks with these flags.
        self.hooks = lru_cache(maxsize=256)(partial(Hooks.of, self.lifecycles))
        self.timers = {each.kind: each for each in timers}
        check_version(db)
        cluster: tuple[int, str] = db.execute("SELECT level, release FROM cluster").get
        self.level, self.release = cluster
        counters: tuple[int, ...] = db.execute("SELECT * FROM machine").get
        _, self.time, self.seq, self.token, *kept = counters
        self.results, self.result_bytes, self.tombstones = kept[:3]
        check_level(self.level, self.release, levels, blank=self.blank)
        self.settings = cluster_settings.read(db)
        self.numbered = {queue.number: queue for queue in load_queues(db, self.level)}
        self.queues = {queue.name: queue for queue in self.numbered.values()}
        #: The last queue's number. From level 2 on a queue may be gone, and its number with it.
        self.last_queue = kept[3] if len(kept) > 3 else max(self.numbered, default=0)
        # Bounded by the setting `dead`, so counting them at the start costs little.
        self.dead, self.dead_bytes = db.execute(_DEAD).get
        self.dead_in = Counter[int](dict(db.execute(_DEAD_IN)))  # by their queues' numbers
        #: Unique keys that are taken.
        self.keys = self._count_keys()
        self.checkpoint_bytes = self._checkpoint_bytes()
        self.journal = Journal(self.time)
        self.schedules = Schedules(db, self.journal, there=self.level >= level_two.LEVEL)
        self.unfinished = sum(q.unstarted + q.running for q in self.queues.values())
        #: By token, in the order of tokens.
        self.running = {run.token: run for run in self._load_running()}
        #: The tokens of the tasks that run by their numbers; never iterated.
        self.running_seqs = {run.seq: run.token for run in self.running.values()}
        #: The numbers of tasks' names, and of workers by incarnation (features/history.py).
        self.names = history.Numbers(self)
        self.worker_numbers = history.WorkerNumbers()
        history.load(self)
        #: Of tokens that end in the entry that is being applied, ms.
        self.run_times: dict[int, int] = {}
        self._find_all_next()
        #: The lanes that unfinished tasks bear the numbers of.
        self.lanes = Lanes(db, tables=self.level >= level_two.LEVEL)
        self.links = Links(db, self.level)
        #: Keys whose ordered tasks wait for a resume (features/key_order.py); bounded.
        self.halted_keys = level_two.halted_keys(db) if self.level >= level_two.LEVEL else 0
        #: The limits, and how far each is used.
        self.gates = Gates(db, tables=self.level >= level_two.LEVEL)
        self._written: tuple[int, ...] = _counters(self)
        self._touched: dict[int, Queue] = {}
        self._token_written = self.token  # running tokens up to here are in the table
        self._ended: list[int] = []  # these of them are to be deleted

    def _find_all_next(self) -> None:
        self.next_retry = self.next_start = self.next_expiry = self.next_timer = NEVER
        self.find_next_retry()
        self.find_next_start()
        self.find_next_timer()
        self.find_next_expiry()

    @property
    def blank(self) -> bool:
        """Whether no entry was ever applied."""
        return self.time == self.seq == 0

    @property
    def flags_column(self) -> str:
        """What stands for a task's flags in a statement: there are none below level 2."""
        return "task.flags" if self.level >= level_two.LEVEL else "0"

    # ---- what is due ----------------------------------------------------------------------------

    def find_next_retry(self) -> None:
        """Set `next_retry` from the table: when a delayed task waits again."""
        self.next_retry = self._earliest(DELAYED)

    def find_next_start(self) -> None:
        """Set `next_start` from the table: when a scheduled task waits for the first time."""
        due = starts.next_start(self) if self.level >= level_two.LEVEL else None
        self.next_start = NEVER if due is None else due

    def find_next_timer(self) -> None:
        """Set `next_timer` from the table."""
        if self.level >= level_two.LEVEL:
            ((due,),) = self.db.execute("SELECT min(due) FROM timer")
            self.next_timer = NEVER if due is None else int(due)

    def set_timer(self, due: int, kind: int, ref: int) -> None:
        """The capability that has timers of this kind is called at this machine time."""
        self.db.execute("INSERT OR IGNORE INTO timer VALUES (?, ?, ?)", (due, kind, ref))
        self.next_timer = min(self.next_timer, due)

    def drop_timer(self, due: int, kind: int, ref: int) -> None:
        """It is not called then."""
        self.db.execute(
            "DELETE FROM timer WHERE due = ? AND kind = ? AND ref = ?", (due, kind, ref)
        )

    def _count_keys(self) -> int:
        if self.level < level_two.LEVEL:
            return 0
        ((count,),) = self.db.execute("SELECT count(*) FROM unique_key")
        return int(count)

    def find_next_expiry(self) -> None:
        """Set `next_expiry` from the table: when a result or tombstone is dropped."""
        self.next_expiry = min(self._earliest(FINISHED), self._earliest(TOMBSTONE))

    def _earliest(self, phase: int) -> int:
        ((due,),) = self.db.execute(
            "SELECT min(due) FROM task WHERE phase = ? AND due IS NOT NULL", (phase,)
        )
        return NEVER if due is None else int(due)

    def _checkpoint_bytes(self) -> int:
        """Of all checkpoints together (features/checkpoints.py bounds them)."""
        if self.level < level_two.LEVEL:
            return 0
        ((size,),) = self.db.execute("SELECT coalesce(sum(length(value)), 0) FROM checkpoint")
        return int(size)

    # ---- what is stored -------------------------------------------------------------------------

    def insert(self, statement: str, rows: Iterable[tuple[object, ...]]) -> bool:
        """Insert rows up to the first that repeats what is unique; whether that is all of them.

        A number of ours that is taken (the primary key) is a defect, and stops the replica.
        """
        try:
            self.db.executemany(statement, rows)
        except apsw.ConstraintError as error:
            if getattr(error, "extendedresult", 0) != apsw.SQLITE_CONSTRAINT_UNIQUE:
                raise
            return False
        return True

    def checksums(self, ids: Sequence[str]) -> dict[str, int]:
        """By id, of those tasks that are known: what tells their contents from others."""
        return dict(self.db.execute(_CHECKSUMS, (dumps(ids),)))

    def numbers(self, ids: Sequence[str]) -> list[int]:
        """Those of the tasks that are known, in the order of `ids`, each once."""
        return [seq for (seq,) in self.db.execute(_NUMBERS, (dumps(list(dict.fromkeys(ids))),))]

    # ---- queues and running tasks ---------------------------------------------------------------

    def enter(self, name: str, count: int, size: int) -> Queue:
        """So many new tasks, with payloads of `size` bytes together, wait in this queue."""
        queue = self.touch(name)
        queue.queued += count
        queue.bytes += size
        self.unfinished += count
        return queue

    def take_back(self, runs: Iterable[Running]) -> None:
        """These tasks wait again, at once or until their next attempt is due."""
        for run in runs:
            queue = self.touch(run.queue)
            queue.queued += 1
            queue.running -= 1
            queue.bytes += run.size

    def ended(
        self, tasks: Sequence[tuple[int, int]], state: State, effects: "list[Effect]"
    ) -> None:
        """These, numbers and flags, are no ordinary tasks and have their outcomes.

        What is held for them goes: for all of them before anything is made of one's outcome, as
        what ends together with a task neither waits for it any more nor comes after it.
        """
        if self._unhooked({flags for _, flags in tasks}):
            return
        hooked = [(seq, flags, self.hooks(flags)) for seq, flags in tasks]
        for seq, flags, hooks in hooked:
            for ended in hooks.ended:
                ended(self, seq, flags)
        for seq, _, hooks in hooked:
            for settled in hooks.settled:
                settled(self, seq, state, effects)

    def _unhooked(self, several: set[int]) -> bool:
        """Whether the ends of tasks with these flags concern no capability."""
        hooks = [self.hooks(flags) for flags in several]
        return not any(each.ended or each.settled for each in hooks)

    def attempt_ended(self, seq: int, flags: int, *, began: bool) -> None:
        """A task that is not an ordinary one will wait again."""
        for attempt_ended in self.hooks(flags).attempt_ended:
            attempt_ended(self, seq, began)
        if began and flags & _TOLD_BEGUN and not flags & BEGUN:
            self.db.execute(_BEGUN, (BEGUN, seq))

    def buried(self, tasks: Iterable[tuple[int, int]]) -> None:
        """The results of these, numbers and flags, are dropped, and what is kept beside them."""
        for lifecycle in self.lifecycles:
            seqs = [seq for seq, flags in tasks if flags & lifecycle.flag]
            if seqs:
                lifecycle.buried(self, seqs)

    def settle(self, name: str, state: State, count: int) -> None:
        """So many of its running tasks reached this final state."""
        queue = self.touch(name)
        queue.running -= count
        match state:
            case State.SUCCEEDED:
                queue.succeeded += count
            case State.FAILED:
                queue.failed += count
            case State.LOST:
                queue.lost += count
            case State.CANCELLED:
                queue.cancelled += count
            case _:
                raise AssertionError(f"{state!r} is no outcome")
        self.unfinished -= count
        self.results += count

    # ---- the cluster -----------------------------------------------------------------------------

    def raise_level(self, level: int, release: str) -> None:
        """The cluster is at this level from now on, and `release` runs it. Raises OtherRelease.

        From level 1 on the shape of the tables is changed by the raise that needs it, here, and by
        nothing else: replicas of two releases at one level must have the same rows.
        """
        check_level(level, release, self.levels)
        if self.level < level_two.LEVEL <= level:
            level_two.make_tables(self.db)
            self._written = ()  # there is one more
        self.level, self.release = level, release
        self.db.execute("UPDATE cluster SET level = ?, release = ?", (level, release))

    def change_settings(self, settings: ClusterSettings) -> None:
        """These are the cluster's settings from now on."""
        self.settings = settings
        cluster_settings.write(self.db, settings)

    def first_to_drop(self, limit: int) -> tuple[list[int], list[int]]:
        """The bytes of each of the first results, and dead tasks, that a lower limit drops."""
        results: list[tuple[int]] = list(self.db.execute(_FIRST_RESULTS, (FINISHED, limit)))
        dead: list[tuple[int]] = list(self.db.execute(_FIRST_DEAD, (limit,)))
        return [size for (size,) in results], [size for (size,) in dead]

    def queue_name(self, number: int) -> str:
        """Empty of a flow or a join, which are in no queue, and of a queue that was deleted.

        Tasks with an outcome stay when their queue goes: of any task that may have one, ask here.
        """
        queue = self.numbered.get(number)
        return "" if queue is None else queue.name

    def touch(self, name: str) -> Queue:
        """The queue whose row changes now: it is written at the next flush."""
        if name in self.queues:
            queue = self.queues[name]
        else:
            self.last_queue += 1
            queue = Queue(self.last_queue, name)
            self.queues[name] = self.numbered[queue.number] = queue
        self._touched[queue.number] = queue
        return queue

    def drop_queue(self, queue: Queue) -> None:
        """Forget a queue without tasks, its settings and counters."""
        del self.queues[queue.name], self.numbered[queue.number]
        self._touched.pop(queue.number, None)
        self.db.execute("DELETE FROM queue WHERE number = ?", (queue.number,))
        self.db.execute("DELETE FROM lane WHERE queue = ?", (queue.number,))

    def begin(self, run: Running, queue: Queue) -> None:
        """The task, of this queue, runs under its token from now on."""
        self.running[run.token] = run
        self.running_seqs[run.seq] = run.token
        self._touched[queue.number] = queue
        queue.queued -= 1
        queue.running += 1
        queue.bytes -= run.size

    def assign_new(
        self,
        worker: bytes,
        queue: Queue,
        spec: bytes,
        first: int,
        tasks: Sequence[tuple[str, bytes]],
    ) -> list[tuple[int, int, str, bytes]]:
        """Give ordinary tasks that have just been enqueued, numbered from `first`, the next tokens.

        They never wait: nothing of them is read that was written a moment ago. `tasks` are (id,
        payload) each; returns (token, number, id, payload).
        """
        runs: list[Running] = []
        for seq, (task, payload) in enumerate(tasks, first):
            self.token = token = self.token + 1
            run = _running(
                (token, seq, task, queue.name, worker, spec, 1, 0, 0, len(payload), 0, 0)
            )
            self.begin(run, queue)
            runs.append(run)
        self.journal.assigned(runs, self.time)
        return [
            (run.token, run.seq, task, payload)
            for run, (task, payload) in zip(runs, tasks, strict=True)
        ]

    def end(self, token: int) -> Running | None:
        """Take the token away; None if it is not current."""
        run = self.running.pop(token, None)
        if run is not None:
            del self.running_seqs[run.seq]
            # A token that began and ended in one transaction never reaches the table.
            if token <= self._token_written:
                self._ended.append(token)
            if run.flags & GATED:
                self.gates.leave(self, token)
        return run

    # ---- tables ---------------------------------------------------------------------------------

    def _load_running(self) -> Iterator[Running]:
        for row in self.db.execute(_RUNNING.at(self.level)):
            yield Running(*row)

    def flush(self) -> None:
        """Write what changed since the last time."""
        if self._ended:
            alone, found = spans(sorted(self._ended))
            if alone:
                self.db.executemany(_DROP_RUNNING, [(token,) for token in alone])
            if found:
                self.db.executemany(_DROP_RUNNING_SPAN, found)
            self._ended = []
        if self.token > self._token_written:
            new = range(self._token_written + 1, self.token + 1)
            begun = [self.running[token] for token in new if token in self.running]
            self.db.executemany("INSERT INTO running VALUES (?, ?, ?)", map(_row, begun))
            self._token_written = self.token
        if self.lanes.changed:
            self.lanes.flush()
        if self.gates.stirred:
            self.gates.flush()
        if self._touched:
            put_queues(self.db, self._touched.values(), self.level)
            self._touched = {}
        counters: tuple[int, ...] = _counters(self)
        if counters != self._written:
            two = self.level >= level_two.LEVEL
            self.db.execute(_COUNTERS_TWO if two else _COUNTERS, counters[: 7 if two else 6])
            self._written = counters
