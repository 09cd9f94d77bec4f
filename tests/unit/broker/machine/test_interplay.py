"""Everything that may befall tasks, in any order: replicas agree, and the tables fit together.

One replica writes after each entry; the other when it likes, and begins anew from its tables at any
time. Nothing may raise: an exception would stop every replica at that entry.
"""

from collections import Counter
from random import Random

import pytest

from raftwork.broker.machine import ClusterSettings
from raftwork.broker.machine.commands import (
    Assign,
    Command,
    Expire,
    Fail,
    Finish,
    Lose,
    Postpone,
    Release,
    encode_batch,
)
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.checkpoints import Note
from raftwork.features.dead_letters import Purge, Retry
from raftwork.features.enqueue import Admit
from raftwork.features.lanes import GoOn
from raftwork.features.pause_queue import Delete, Pause, Resume
from raftwork.features.purge_queue import DropWaiting
from raftwork.features.reschedule import MoveTo
from raftwork.features.task_row import BLOCKED, DELAYED, PENDING, SCHEDULED
from raftwork.messages import Extras, OnConflict, Spec, encode_spec
from raftwork.wire import pack
from tests.unit.broker.machine.driver import FAILURE, WORKER, Driver

SETTINGS = ClusterSettings(sweep=100, dead=5, results=30)
QUEUES, KEYS = "pq", "xy"
UNFINISHED = (PENDING, DELAYED, SCHEDULED, BLOCKED)


class Drawn:
    """Commands, by what is in the tables of `driver`."""

    def __init__(self, rng: Random, driver: Driver) -> None:
        self._rng, self._driver = rng, driver
        self._made = 0

    def command(self) -> Command:
        often = [self._admit, self._assign, self._end] * 3
        return self._rng.choice([*often, self._cancel, self._by_hand, self._by_hand])()

    def _id(self) -> str:
        return f"t{self._rng.randint(max(1, self._made - 8), max(1, self._made))}"

    def _later(self, most: int = 200) -> int:
        return self._driver.now + self._rng.choice((0, self._rng.randint(1, most)))

    def _admit(self) -> Command:
        rng = self._rng
        delay = rng.choice((0, 0, rng.randint(1, 100)))
        ordered = rng.random() < 0.3
        spec = Spec(
            rng.choice(("m.f", "m.g")),
            rng.choice(QUEUES),
            retries=rng.choice((0, 3)),
            at_most_once=rng.random() < 0.1,
            result_ttl=rng.choice((0, 300, 100_000)),
            delay=delay,
            priority=rng.choice((100, 100, 150)),
            expires=rng.choice((0, 0, delay + rng.randint(1, 200))),
            deadline=rng.choice((0, 0, delay + rng.randint(1, 300))),
            ordered=ordered,
            halts=ordered and rng.random() < 0.3,
            until_started=rng.random() < 0.3,
            on_conflict=rng.choice(list(OnConflict)),
            period=rng.choice((0, 0, rng.randint(1, 200))),
        )
        tasks = []
        for _ in range(rng.choice((1, 1, 3))):
            self._made += 1
            extras = Extras(
                unique=rng.choice(("", "k", "l")),
                tenant=rng.choice(("", "", "acme")),
                tags=rng.choice(([], [("c", "1")])),
            )
            tasks.append([f"t{self._made}", b"abc"[: rng.randrange(4)], rng.choice(KEYS), extras])
        return Admit(rng.choice((self._driver.now, 2**63 - 1)), encode_spec(spec), pack(tasks))

    def _assign(self) -> Command:
        rows = self._driver.db.execute("SELECT seq FROM task WHERE phase = 0 ORDER BY seq")
        seqs = [seq for (seq,) in rows]
        return Assign(WORKER, self._rng.sample(seqs, min(len(seqs), 3)))

    def _end(self) -> Command:
        rng, running = self._rng, [run.token for run in self._driver.machine.running()]
        token = rng.choice(running) if running else 1
        ends: tuple[Command, ...] = (
            Finish([(token, b"value"), (token, b"")]),
            Fail(token, FAILURE, self._later(), rng.random() < 0.2),
            Expire(token, self._later()),
            Lose([(token, rng.random() < 0.6)]),
            Release([token]),
            Postpone(token, self._later()),
            Note(token, 1, b"abc"[: rng.randrange(4)]),
        )
        return rng.choice(ends)

    def _cancel(self) -> Command:
        rng, seq = self._rng, self._driver.machine.state.seq
        ids, grace = [self._id() for _ in range(4)], rng.choice((0, 50, 200))
        commands = (
            CancelSome(Scope.IDS, ids, "", "", grace, 0, seq, 9),
            CancelSome(Scope.QUEUE, [], rng.choice(QUEUES), "", grace, 0, seq, 99),
            CancelSome(Scope.TAG, [], "c", "1", grace, 0, seq, 9),
        )
        return rng.choice((commands[0], *commands))

    def _by_hand(self) -> Command:
        rng, seq = self._rng, self._driver.machine.state.seq
        queue = rng.choice(QUEUES)
        dead = [
            id_ for (id_,) in self._driver.db.execute("SELECT id FROM dead JOIN task USING (seq)")
        ]
        self._made += 1
        commands: tuple[Command, ...] = (
            MoveTo(self._id(), self._later() - 50),
            Pause(queue, rng.choice((0, self._later()))),
            Resume(queue),
            Delete(queue),
            GoOn(queue, rng.choice(KEYS)),
            DropWaiting(queue, seq, 5),
            Retry(self._driver.now, rng.choice(dead) if dead else "t1", f"t{self._made}"),
            Purge([], ""),
        )
        return rng.choice(commands)


def check(driver: Driver) -> None:
    """What is counted, and where tasks stand, is what their rows say."""
    db, state = driver.db, driver.machine.state
    where = "SELECT seq, queue, phase, length(body), lane FROM task WHERE phase IN (0, 1, 4, 5)"
    tasks: list[tuple[int, int, int, int, int]] = list(db.execute(where))
    running = {run.seq for run in state.running.values()}
    for queue in state.queues.values():
        mine = [task for task in tasks if task[1] == queue.number]
        still = Counter(phase for seq, _, phase, *_ in mine if seq not in running)
        assert queue.queued == still[PENDING] + still[DELAYED]
        assert queue.delayed == still[DELAYED]
        assert (queue.scheduled, queue.blocked) == (still[SCHEDULED], still[BLOCKED])
        assert queue.running == len(mine) - still.total()
        assert queue.bytes == sum(size for seq, _, _, size, _ in mine if seq not in running)
    assert {number for _, number, *_ in tasks} <= state.numbered.keys()
    assert state.unfinished == len(tasks)
    stand = "SELECT seq FROM waiting UNION ALL SELECT seq FROM laned UNION ALL SELECT seq FROM "
    waits = Counter(seq for (seq,) in db.execute(stand + "key_waiting"))
    assert waits == Counter(s for s, _, phase, *_ in tasks if phase == PENDING and s not in running)
    ranges = db.execute("SELECT first, last FROM start")
    starts = Counter(seq for first, last in ranges for seq in range(first, last + 1))
    assert starts == Counter(seq for seq, _, phase, *_ in tasks if phase == SCHEDULED)
    live = {seq for seq, *_ in tasks}
    assert {ref for (ref,) in db.execute("SELECT ref FROM timer WHERE kind IN (1, 2, 5)")} <= live
    followers = {seq for (seq,) in db.execute("SELECT next FROM unique_key WHERE next > 0")}
    assert followers == {seq for seq, _, phase, *_ in tasks if phase == BLOCKED}
    assert {seq for (seq,) in db.execute("SELECT owner FROM unique_key WHERE held")} <= live
    owners = [owner for (owner,) in db.execute("SELECT owner FROM key_order")]
    assert {owner for owner in owners if owner} <= live
    assert state.halted_keys == owners.count(0)
    assert {seq for (seq,) in db.execute("SELECT seq FROM checkpoint")} <= live
    assert state.lanes.count == len({lane for *_, lane in tasks if lane})


@pytest.mark.parametrize("seed", range(8))
def test_whatever_befalls_tasks_together_nothing_raises_and_all_is_counted(seed: int) -> None:
    rng = Random(seed)
    one, other = Driver(SETTINGS), Driver(SETTINGS)
    drawn, written = Drawn(rng, one), True
    for _ in range(300):
        one.now += rng.choice((0, 1, 20, 100, 300))
        entry = encode_batch(one.now, [drawn.command() for _ in range(rng.choice((1, 1, 3)))])
        applied = one.apply_raw(entry)
        if written:
            other.db.execute("BEGIN")
        assert other.machine.apply(entry) == applied
        written = rng.random() < 0.4
        if written:
            other.machine.flush()
            other.db.execute("COMMIT")
            if rng.random() < 0.3:
                other.reopen()
        check(one)
    assert one.machine.digest() == other.machine.digest()
