"""What the machine knows by heart: counters, queues, and the tasks that run.

Everything here is also in the tables, except what changed since the last `flush`. The running set
is bounded by the workers' slots; waiting tasks live in the tables alone.
"""

import builtins
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from json import dumps
from operator import attrgetter
from typing import NamedTuple

import apsw

from raftwork.broker.machine import cluster_settings
from raftwork.broker.machine.entry_versions import check_level
from raftwork.broker.machine.migrations import check_version
from raftwork.broker.machine.schema import (
    DELAYED,
    FINISHED,
    PENDING,
    TOMBSTONE,
)
from raftwork.features.cluster_settings import ClusterSettings
from raftwork.features.dead_letters import forget_losses
from raftwork.features.effects import Settled
from raftwork.features.queue_settings import (
    NOTHING_SET,
    QueueSettings,
    packed,
    settings_of,
)
from raftwork.messages import State, decode_spec
from raftwork.release import Levels

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


class Unstarted(NamedTuple):
    """A task that waits to be handed out."""

    seq: int
    id: str
    spec: bytes
    size: int  # bytes of its payload
    losses: int


_row = attrgetter("token", "seq", "worker")


_NOTHING_PACKED = packed(NOTHING_SET)


@dataclass(slots=True)
class Queue:
    """A queue's counters and settings, as in its row."""

    number: int
    name: str
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    lost: int = 0
    #: Of the payloads of what is queued.
    bytes: int = 0
    #: What was set for it, and the same packed; changed by `set` alone.
    settings: QueueSettings = NOTHING_SET
    packed_settings: builtins.bytes = _NOTHING_PACKED

    def set(self, settings: QueueSettings) -> None:
        """These hold for it from now on."""
        self.settings, self.packed_settings = settings, packed(settings)


_queue_row = attrgetter(
    *("number", "name", "queued", "running", "succeeded", "failed", "lost", "bytes"),
    "packed_settings",
)
_PENDING = """SELECT task.seq, task.id, queue, attempt, failures, losses, length(body), spec
    FROM json_each(?) CROSS JOIN task ON task.seq = value WHERE phase = ?"""
_FIRST = """SELECT task.seq, task.id, spec, length(body), losses
    FROM waiting CROSS JOIN task ON task.seq = waiting.seq
    WHERE waiting.queue = ? AND waiting.seq <= ? ORDER BY waiting.seq LIMIT ?"""
_CHECKSUMS = "SELECT task.id, crc FROM json_each(?) CROSS JOIN task ON task.id = value"
_FIRST_RESULTS = """SELECT length(body) FROM task WHERE phase = ? AND due IS NOT NULL
    ORDER BY due, seq LIMIT ?"""
_FIRST_DEAD = "SELECT length(spec) + length(payload) FROM dead ORDER BY number LIMIT ?"
_END = "UPDATE task SET phase = ?, due = ?, state = ?, spec = x'', body = ? WHERE seq = ?"
_UNWAIT = "DELETE FROM waiting WHERE queue = ? AND seq = ?"
_PUT_QUEUE = "INSERT OR REPLACE INTO queue VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Ledger:
    """The machine's memory over its tables."""

    def __init__(self, db: apsw.Connection, levels: Levels) -> None:
        """`levels` are those that this release runs. Raises OtherRelease; see migrations.py."""
        self.db = db
        self.levels = levels
        check_version(db)
        cluster: tuple[int, str] = db.execute("SELECT level, release FROM cluster").get
        self.level, self.release = cluster
        counters: tuple[int, ...] = db.execute("SELECT * FROM machine").get
        _, self.time, self.seq, self.token, *kept = counters
        self.results, self.result_bytes, self.tombstones = kept
        check_level(self.level, self.release, levels, blank=self.time == self.seq == 0)
        self.settings = cluster_settings.read(db)
        self.queues: dict[str, Queue] = {}
        self.numbered: dict[int, Queue] = {}
        for row in db.execute("SELECT * FROM queue ORDER BY number"):
            *counts, settings = row
            queue = Queue(*counts)
            queue.set(settings_of(settings))
            self.queues[queue.name] = self.numbered[queue.number] = queue
        # Bounded by the setting `dead`, so counting them at the start costs little.
        ((self.dead, self.dead_bytes),) = db.execute(
            "SELECT count(*), coalesce(sum(length(spec) + length(payload)), 0) FROM dead"
        )
        self.unfinished = sum(q.queued + q.running for q in self.queues.values())
        #: By token, in the order of tokens.
        self.running = {run.token: run for run in self._load_running()}
        #: The numbers of the tasks that run; only ever asked for membership.
        self.running_seqs = {run.seq for run in self.running.values()}
        self.next_retry = self.next_expiry = NEVER
        self.find_next_retry()
        self.find_next_expiry()
        self._written = self._counters()
        self._touched: dict[int, Queue] = {}
        self._token_written = self.token  # running tokens up to here are in the table
        self._ended: list[tuple[int]] = []  # these of them are to be deleted

    # ---- what is due ----------------------------------------------------------------------------

    def find_next_retry(self) -> None:
        """Set `next_retry` from the table: when a delayed task waits again."""
        self.next_retry = self._earliest(DELAYED)

    def find_next_expiry(self) -> None:
        """Set `next_expiry` from the table: when a result or tombstone is dropped."""
        self.next_expiry = min(self._earliest(FINISHED), self._earliest(TOMBSTONE))

    def _earliest(self, phase: int) -> int:
        ((due,),) = self.db.execute(
            "SELECT min(due) FROM task WHERE phase = ? AND due IS NOT NULL", (phase,)
        )
        return NEVER if due is None else int(due)

    # ---- what is stored -------------------------------------------------------------------------

    def checksums(self, ids: Sequence[str]) -> dict[str, int]:
        """By id, of those tasks that are known: what tells their contents from others."""
        return dict(self.db.execute(_CHECKSUMS, (dumps(ids),)))

    # ---- queues and running tasks ---------------------------------------------------------------

    def enter(self, name: str, count: int, size: int) -> None:
        """So many new tasks, with payloads of `size` bytes together, wait in the queue."""
        queue = self.touch(name)
        queue.queued += count
        queue.bytes += size
        self.unfinished += count

    def hand_out(self, runs: Iterable[Running]) -> None:
        """These tasks run now and no longer wait."""
        for run in runs:
            queue = self.touch(run.queue)
            queue.queued -= 1
            queue.running += 1
            queue.bytes -= run.size

    def take_back(self, runs: Iterable[Running]) -> None:
        """These tasks wait again, at once or until their next attempt is due."""
        for run in runs:
            queue = self.touch(run.queue)
            queue.queued += 1
            queue.running -= 1
            queue.bytes += run.size

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

    # ---- tasks that end without having run ------------------------------------------------------

    def first_waiting(self, queue: str, upto: int, limit: int) -> list[Unstarted]:
        """Of the tasks that wait to be handed out, numbered up to `upto`, so many, in order."""
        known = self.queues.get(queue)
        if known is None:
            return []
        return [Unstarted(*row) for row in self.db.execute(_FIRST, (known.number, upto, limit))]

    def end_waiting(
        self, name: str, tasks: Sequence[Unstarted], state: State, data: bytes
    ) -> list[Settled]:
        """Tasks that wait have this outcome: they are handed out no more. `data` as in Result."""
        queue = self.touch(name)
        cap, many = self.settings.result_ttl, len(tasks)
        ends = [self.time + min(spec_of(task.spec).result_ttl, cap) for task in tasks]
        self.db.executemany(_UNWAIT, [(queue.number, task.seq) for task in tasks])
        ended = zip(ends, tasks, strict=True)
        self.db.executemany(
            _END, [(FINISHED, end, state.value, data, task.seq) for end, task in ended]
        )
        forget_losses(self, [task.seq for task in tasks if task.losses])
        queue.queued -= many
        queue.running += many  # as if they had been handed out just now
        queue.bytes -= sum(task.size for task in tasks)
        self.settle(name, state, many)
        self.result_bytes += len(data) * many
        self.next_expiry = min(self.next_expiry, *ends, NEVER)
        return [Settled(0, task.seq, task.id, name, state, data) for task in tasks]

    def touch(self, name: str) -> Queue:
        """The queue whose row changes now: it is written at the next flush."""
        queue = self.queues.get(name)
        if queue is None:
            queue = Queue(len(self.queues) + 1, name)
            self.queues[name] = self.numbered[queue.number] = queue
        self._touched[queue.number] = queue
        return queue

    def assign(self, worker: bytes, seqs: Sequence[int]) -> tuple[list[Running], list[int]]:
        """Give the waiting tasks among these the next tokens, in order; also returns the others."""
        found = {row[0]: row for row in self.db.execute(_PENDING, (str(list(seqs)), PENDING))}
        runs: list[Running] = []
        absent: list[int] = []
        token = self.token
        for seq in seqs:
            row = found.pop(seq, None)
            if row is None or seq in self.running_seqs:
                absent.append(seq)
                continue
            _, task, number, attempt, failures, losses, size, spec = row
            token += 1
            queue = self.numbered[number].name
            run = Running(
                token, seq, task, queue, worker, spec, attempt + 1, failures, losses, size
            )
            self.begin(run)
            runs.append(run)
        self.token = token
        self.hand_out(runs)
        before = self.db.total_changes()
        self.db.executemany(_UNWAIT, [(self.queues[run.queue].number, run.seq) for run in runs])
        assert self.db.total_changes() - before == len(runs), "a live task neither ran nor waited"
        return runs, absent

    def begin(self, run: Running) -> None:
        """The task runs under its token from now on."""
        self.running[run.token] = run
        self.running_seqs.add(run.seq)

    def end(self, token: int) -> Running | None:
        """Take the token away; None if it is not current."""
        run = self.running.pop(token, None)
        if run is not None:
            self.running_seqs.remove(run.seq)
            # A token that began and ended in one transaction never reaches the table.
            if token <= self._token_written:
                self._ended.append((token,))
        return run

    # ---- tables ---------------------------------------------------------------------------------

    def _load_running(self) -> Iterator[Running]:
        rows = self.db.execute(
            """SELECT token, seq, task.id, queue.name, worker, spec, attempt + 1, failures, losses,
                length(body)
            FROM running JOIN task USING (seq) JOIN queue ON queue.number = task.queue
            ORDER BY token"""
        )
        for row in rows:
            yield Running(*row)

    def _counters(self) -> tuple[int, ...]:
        return (
            self.time,
            self.seq,
            self.token,
            self.results,
            self.result_bytes,
            self.tombstones,
        )

    def flush(self) -> None:
        """Write what changed since the last time."""
        if self._ended:
            self.db.executemany("DELETE FROM running WHERE token = ?", self._ended)
            self._ended = []
        if self.token > self._token_written:
            youngest = reversed(self.running.values())
            begun = list(takewhile(lambda run: run.token > self._token_written, youngest))
            self.db.executemany("INSERT INTO running VALUES (?, ?, ?)", map(_row, reversed(begun)))
            self._token_written = self.token
        if self._touched:
            self.db.executemany(_PUT_QUEUE, map(_queue_row, self._touched.values()))
            self._touched = {}
        counters = self._counters()
        if counters != self._written:
            self.db.execute(
                """UPDATE machine SET time = ?, seq = ?, token = ?,
                results = ?, result_bytes = ?, tombstones = ?""",
                counters,
            )
            self._written = counters
