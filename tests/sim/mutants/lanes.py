"""Deliberate bugs in priority, places and the order of keys; each with both protocols."""

from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.surgery import Edit

_DISPATCH = "raftwork.broker.dispatch"
_FEATURES = "raftwork.features"

LANES = tuple(
    Mutant(f"{consensus}: {name}", (Edit(place, old, new),), seeds, consensus=consensus)
    for consensus in ("raft", "zab")
    for name, place, old, new, seeds in (
        (
            "priority inverted after a failover",
            f"{_DISPATCH}.queue_backlog:QueueBacklog.__init__",
            "self.add(number, lane, first)",
            "self.add(number, lane._replace(priority=200 - lane.priority), first)",
            60,
        ),
        (
            "place lost on requeue",
            "raftwork.broker.machine.attempts:_requeue",
            "waiting = iter(wait(ledger, places))",
            "ready = [seq for _, seq, flags in places if flags & 2]\n"
            "    moved = [(ledger.seq + at, seq) for at, seq in enumerate(ready, 1)]\n"
            "    ledger.seq += len(places)\n"
            "    ledger.db.executemany('UPDATE task SET place = ? WHERE seq = ?', moved)\n"
            "    waiting = iter(wait(ledger, places))",
            20,
        ),
        (
            "ordered tasks of a key do not wait for each other",
            f"{_FEATURES}.key_order:is_first",
            "elif holder != seq:",
            "elif False:",
            20,
        ),
        (
            "a halted key goes on",
            f"{_FEATURES}.lanes:_settled",
            "if state in (State.FAILED, State.LOST) and decode_spec(packed).halts:",
            "if False:",
            60,
        ),
        (
            "a key is kept after the outcome",
            f"{_FEATURES}.lanes:_settled",
            "        next_turn(ledger, queue, key, effects)",
            "        pass",
            20,
        ),
    )
)
