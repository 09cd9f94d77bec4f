"""Deliberate bugs, each a classic of some queue or consensus implementation, as changes of a line.

`seeds` is how many histories may be needed until one of them shows the bug.
"""

from tests.sim.mutants.attempt_ends import ATTEMPT_ENDS
from tests.sim.mutants.broadcasts import BROADCASTS
from tests.sim.mutants.cancels import CANCELS
from tests.sim.mutants.events import EVENTS
from tests.sim.mutants.flows import FLOWS
from tests.sim.mutants.gates import GATES
from tests.sim.mutants.lanes import LANES
from tests.sim.mutants.limits import LIMITS
from tests.sim.mutants.looks import LOOKS
from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.mutant import mutant as _mutant
from tests.sim.mutants.schedules import SCHEDULES
from tests.sim.mutants.surgery import Edit
from tests.sim.mutants.timers import TIMERS
from tests.sim.mutants.unique import UNIQUE
from tests.sim.mutants.upgrades import UPGRADES
from tests.sim.mutants.waits import WAITS
from tests.sim.mutants.workers import WORKERS
from tests.sim.mutants.zab import ZAB

_RAFT, _BROKER, _QUEUE = "raftwork.consensus.raft", "raftwork.broker", "raftwork.broker.machine"
_FEATURES = "raftwork.features"
_STORE, _WORKER, _CLIENT = "raftwork.broker.store", "raftwork.worker", "raftwork.client"


CONSENSUS = (
    _mutant(
        "vote not persisted",
        f"{_RAFT}.state:Node.hard_state",
        "HardState(self.term, self.vote)",
        'HardState(self.term, b"")',
        fast=True,
    ),
    _mutant(
        "promise sent before the sync",
        "raftwork.consensus.durable_replica:Replica._write",
        "for message in out.send:",
        "for message in (*out.send, *out.send_after_sync):",
        fast=True,
    ),
    _mutant(
        "half is a majority",
        "raftwork.consensus.quorum:majority",
        "return size // 2 + 1",
        "return (size + 1) // 2 if size != 3 else 1",
        fast=True,
    ),
    _mutant(
        "commits not synced",
        "raftwork.consensus.durable_replica:Replica._promise",
        "    self._commit()",
        "    any(out.state is not None for out in outputs) and self._commit()",
    ),
    _mutant(
        "a follower never applies",
        f"{_RAFT}.core:Raft._may_wait",
        "return node.log.durable != node.log.last.seq or (",
        "return True or (",
        fast=True,
    ),
    _mutant(
        "commit of an older term by counting",
        f"{_RAFT}.replication:advance",
        " and index >= leader.noop",
        "",
        seeds=60,
    ),
    _mutant(
        "truncation on any append",
        f"{_RAFT}.replication:_accept",
        "while known < len(entries) and log.holds(entries[known].at):",
        "while known < 0:",
        seeds=40,
    ),
    _mutant(
        "vote cleared within its term",
        f"{_RAFT}.state:Node.reset_election_timer",
        "role = self.role\n",
        'role = self.role\n    self.vote, self.out.state = b"", True\n',
    ),
    _mutant(
        "votes for any log",
        f"{_RAFT}.election:_up_to_date",
        "return last >= node.log.last",
        "return True",
        seeds=60,
    ),
    _mutant(
        "pre-vote raises the term",
        f"{_RAFT}.core:_admit",
        "case PreVote() | PreVoteReply(granted=True):",
        "case PreVoteReply(granted=True):",
        fast=True,
    ),
    _mutant(
        "leader active before its no-op is applied",
        f"{_RAFT}.core:Raft.output",
        "if node.state is not State.ACTIVE and node.applying >= role.noop:",
        "if node.state is not State.ACTIVE:",
        fast=True,
    ),
    _mutant(
        "any incarnation counts",
        "raftwork.consensus.membership:Membership.is_voter",
        "return self._counted.get(name) == incarnation",
        "return name in self._counted",
        seeds=60,
    ),
    _mutant(
        "reads without a round",
        f"{_RAFT}.reads:passed",
        "answered = _answered(node, leader)",
        "answered = leader.round + 1",
        seeds=300,
    ),
    _mutant(
        "conflicting log kept under a snapshot",
        f"{_RAFT}.snapshot:on_chunk",
        "if node.log.holds(snap.at) or snap.at.seq <= node.commit:",
        "if node.log.last.seq >= snap.at.seq:",
        seeds=200,
    ),
    _mutant(
        "leader without a majority stays",
        f"{_RAFT}.election:check_quorum",
        "node.follow(node.term, None, Cause.NO_MAJORITY)",
        "pass",
        seeds=40,
    ),
    _mutant(
        "transfer never given up",
        f"{_RAFT}.transfer:expire",
        "leader.transfer = None",
        "pass",
        seeds=200,
    ),
    _mutant(
        "lost snapshot chunks not sent again",
        "raftwork.consensus.snapshot_transfer:Outgoing.stuck",
        "self.sent = self.acked",
        "pass",
        seeds=60,
    ),
)

REPLICA = (
    _mutant(
        "applied position saved apart from the data",
        "raftwork.consensus.durable_replica:Replica._write",
        "if out.committed:\n",
        "if out.committed and not out.append:\n",
        seeds=20,
    ),
    _mutant(
        "deposed leader goes on",
        f"{_BROKER}.node:Node.deactivated",
        "self._supervisor.end()",
        "pass",
        fast=True,
    ),
    _mutant(
        "snapshot install forgets the vote",
        f"{_STORE}.generation:make_switchable",
        "meta.state = old.state",
        "pass",
        real=True,
    ),
    _mutant(
        "unsynced tail trusted",
        f"{_STORE}.generation:Generation._make_durable",
        "self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)",
        "pass",
        seeds=40,
        real=True,
    ),
    Mutant(
        "snapshot goes live before its vote is in it",
        (
            Edit(
                f"{_STORE}.store:Store.switch",
                "make_switchable(directory.database(number), opener, old.meta)\n",
                "directory.set_current(number)\n"
                "        make_switchable(directory.database(number), opener, old.meta)\n",
            ),
            # The second line of defence: its turn is below the one that was promised.
            Edit(f"{_STORE}.generation:Generation._verify", "self.meta.turn < ", "False and 0 < "),
            Edit(
                f"{_STORE}.watermark:Promised.raise_to",
                "assert turn >= self.turn",
                "if turn < self.turn: return",
            ),
        ),
        seeds=300,
        real=True,
    ),
    Mutant(
        "checksums ignored",
        (
            Edit(  # once its first page was read: that turns the verification on
                f"{_STORE}.database:use_wal",
                'if mode != "wal":\n',
                'connection.execute("PRAGMA checksum_verification=OFF")\n    if mode != "wal":\n',
            ),
            Edit(
                f"{_STORE}.database:has_checksums",
                'str(connection.execute("PRAGMA checksum_verification").get) == "1"',
                "True",
            ),
            Edit(
                f"{_STORE}.log:StoredLog._read", "crc != entry_crc(", "False and crc != entry_crc("
            ),
            Edit(
                f"{_STORE}.meta:read_meta", "values[-1] != crc32(", "False and values[-1] != crc32("
            ),
        ),
        seeds=300,
        real=True,
    ),
    _mutant(
        "damage not remembered over a restart",
        f"{_STORE}.storage_errors:Guard.fail",
        "if isinstance(failure, StoreDamaged):",
        "if False:",
        seeds=100,
        real=True,
    ),
    _mutant(
        "promised turn not checked",
        f"{_STORE}.generation:Generation._verify",
        "if self.meta.turn < self._promised.turn:",
        "if False:",
        seeds=150,
        real=True,
    ),
    _mutant(
        "synchronous never FULL",
        f"{_STORE}.database:set_synchronous",
        "level = 2 if full else 1",
        "level = 1",
        seeds=40,
        real=True,
    ),
)

MACHINE = (
    _mutant(
        "clock of the host used in apply",
        f"{_QUEUE}.machine:Machine.apply",
        "ledger.time = time",
        'ledger.time = time + __import__("time").monotonic_ns() % 1_000',
        fast=True,
    ),
    _mutant(
        "order of addresses in apply",
        f"{_FEATURES}.enqueue:_insert",
        "zip(numbers_from(first), ids, crcs, *rest)",
        "zip(numbers_from(first), *zip(*sorted(zip(ids, crcs), key=id)), *rest)",
    ),
    _mutant(
        "known ids enqueued again",
        f"{_FEATURES}.enqueue:_insert",
        "insert(_INSERT, new)",
        'insert(_INSERT.replace("INSERT", "INSERT OR REPLACE"), new)',
        fast=True,
    ),
    _mutant(
        "contents of a known id not compared",
        f"{_FEATURES}.enqueue:new_rows",
        "elif known[task] != crc and",
        "elif False and",
        fast=True,
    ),
    _mutant(
        "token given back when a task comes back",
        f"{_QUEUE}.attempts:_requeue",
        "for run in runs:\n",
        "for run in runs:\n        ledger.token -= 1\n",
        fast=True,
    ),
    _mutant(
        "at-most-once task handed out after a loss",
        f"{_QUEUE}.attempts:_too_many",
        "spec.at_most_once or ",
        "",
    ),
    _mutant(
        "poison task handed out once too often",
        f"{_QUEUE}.attempts:_too_many",
        "run.losses >= min(",
        "run.losses > min(",
    ),
    _mutant(
        "failures not counted",
        f"{_QUEUE}.attempts:_failed",
        "failures=run.failures + 1",
        "failures=run.failures",
    ),
    _mutant(
        "delayed tasks forgotten at a restart",
        f"{_QUEUE}.state:Ledger.find_next_retry",
        "self.next_retry = self._earliest(DELAYED)",
        "pass",
    ),
    Mutant(
        "outcome accepted under a stale token",
        (
            Edit(
                f"{_BROKER}.workers.reports:Reports._is_news",
                "if assignment is None:\n",
                "if assignment is None:\n        return True\n    if assignment is None:\n",
            ),
            Edit(
                f"{_QUEUE}.state:Ledger.end",
                "run = self.running.pop(token, None)",
                "run = self.running.pop(token, None)"
                " or (self.running and self.running.popitem()[1])",
            ),
        ),
    ),
    Mutant(
        "assign not checked",
        (
            Edit(
                f"{_QUEUE}.hand_outs:assign",
                "if seq in ledger.running_seqs:",
                "if False:",
            ),
            Edit(f"{_BROKER}.dispatch.backlog:Backlog._read_page", "self._passed, PAGE", "0, PAGE"),
        ),
    ),
)

CONTAINMENT = tuple(
    Mutant(f"{consensus}: {name}", edits, seeds, real=real, consensus=consensus)
    for consensus in ("raft", "zab")
    for name, edits, seeds, real in (
        (
            "an error in work for one party ends the broker",
            (
                Edit(
                    f"{_BROKER}.containment:Containment.ends",
                    "not ours or error is self.vital.broken"
                    " or as_database_error(error) is not None",
                    "True",
                ),
            ),
            20,
            False,
        ),
        (
            "a snapshot that fails ends its maker",
            (
                Edit(
                    f"{_STORE}.snapshot_transfers:_not_made",
                    "isinstance(meaning, StoreDamaged)",
                    "error",
                ),
                Edit(f"{_STORE}.snapshot_transfers:_not_made", "Failed(meaning)", "Failed(error)"),
            ),
            60,
            True,
        ),
        (
            "a failed snapshot is made no more",
            (
                Edit(
                    "raftwork.consensus.snapshot_transfer:Archive.ended",
                    "self.pause.failed(now)",
                    "self.pause.until = 1 << 60",
                ),
            ),
            200,
            False,
        ),
    )
)

SERVICE = (
    _mutant(
        "answers without a barrier",
        f"{_BROKER}.requests.request_processor:RequestProcessor._take",
        "self.read_barrier.add(_Reading(asked, rule.slices(self.view, asked.request)))",
        "self.read_barrier.add(_Reading(asked, rule.slices(self.view, asked.request)))\n"
        "            if 'ids' in asked.request._fields:\n"
        "                self.read_barrier.barrier(-1); self.read_ready(-1)",
        seeds=200,
    ),
    _mutant(
        "waiter dropped on failover",
        f"{_CLIENT}.watches:Watches.follow",
        "if self._endpoint != self._brokers.endpoint:",
        "if False:",
        seeds=20,
    ),
    _mutant(
        "only the first watcher is told",
        f"{_BROKER}.requests.result_outbox:ResultOutbox.settled",
        "for routing in watchers:",
        "for routing in list(watchers)[:1]:",
        seeds=20,
    ),
    _mutant(
        "enqueue acknowledged when proposed",
        f"{_BROKER}.requests.request_processor:RequestProcessor._take",
        "self.changes.append(_wanted((asked, change)))",
        "self.changes.append(_wanted((asked, change)))\n"
        "            if 'tasks' in asked.request._fields:\n"
        "                answer = rule.answer(self.view, asked.request, Done())\n"
        "                self._frames.append((asked.key[0], answer))",
        fast=True,
    ),
    _mutant(
        "lease not renewed by heartbeats",
        f"{_BROKER}.workers.registry:WorkerRegistry._session",
        "worker.deadline = now + self.settings.worker_lease",
        "pass",
        fast=True,
    ),
    _mutant(
        "silent worker keeps its tasks",
        f"{_BROKER}.workers.registry:WorkerRegistry._check_lease",
        "if now > worker.deadline:",
        "if False:",
    ),
    _mutant(
        "a failover forgets who holds what",
        f"{_BROKER}.workers.registry:WorkerRegistry._take_over",
        "self._holder[running.token] = worker",
        "worker.assignments.clear()",
    ),
    _mutant(
        "lost pushes not noticed",
        f"{_WORKER}.leader_session:LeaderSession.beat",
        "if pushed != self._pushed:",
        "if False:",
        seeds=60,
    ),
    _mutant(
        "worker forgets unacknowledged outcomes",
        f"{_WORKER}.agent:Agent._opened",
        "self._done.renew()",
        "self._done.forget(list(self._done.tokens))",
        seeds=20,
    ),
    _mutant(
        "frames of an older session count",
        f"{_WORKER}.leader_session:LeaderSession.current",
        "frame[1] == self.number and frame[0] == self.epoch",
        "True",
        seeds=250,
    ),
    _mutant(
        "unstarted tasks of a drained worker handed back although one began",
        f"{_WORKER}.agent:Agent.withdrawn",
        "self._release(held + self._parked)",
        "self._since.clear(); self._parked = []; self._released += self._held; self._held.clear()",
    ),
)

GROUPS = {
    "consensus": CONSENSUS,
    "zab": ZAB,
    "replica": REPLICA,
    "machine": MACHINE,
    "upgrades": UPGRADES,
    "containment": CONTAINMENT,
    "service": SERVICE,
    "limits": LIMITS,
    "looks": LOOKS,
    "events": EVENTS,
    "workers": WORKERS,
    "attempt-ends": ATTEMPT_ENDS,
    "cancels": CANCELS,
    "lanes": LANES,
    "schedules": SCHEDULES,
    "timers": TIMERS,
    "unique": UNIQUE,
    "flows": FLOWS,
    "broadcasts": BROADCASTS,
    "gates": GATES,
    "waits": WAITS,
}
ALL = tuple(mutant for group in GROUPS.values() for mutant in group)
