"""Deliberate bugs in events: noted wrongly, read twice or never, and gaps that are not told."""

from tests.sim.mutants.mutant import mutant as _mutant

_RING, _FEATURES = "raftwork.broker.event_ring", "raftwork.features"

EVENTS = (
    _mutant(
        "a gap is not told to who is too far behind",
        f"{_RING}:read_events",
        "if after < floor:",
        "if False:",
        seeds=20,
    ),
    _mutant(
        "after a snapshot the ring says that it goes back to the beginning",
        f"{_RING}:EventRing.__init__",
        "Cursor(*store.applied, ALL_OF_IT if begun else 0)",
        "Cursor(0, 0, 0)",
        seeds=20,
    ),
    _mutant(
        "a page that ends within an entry goes on with its first event",
        f"{_FEATURES}.event_feed:told",
        "else max(0, after.n - n), count)",
        "else 0, count)",
        fast=True,
    ),
    _mutant(
        "a page that ends within an entry goes on behind it",
        f"{_FEATURES}.event_feed:told",
        "return found, n + place",
        "return found, n + count",
        seeds=10,
    ),
    _mutant(
        "a leader notes what it proposes, before a majority has it",
        "raftwork.broker.leader.leadership:Leadership._propose",
        "done += len(part)",
        "done += len(part); self._machine.state.journal.entered('default', '', ['early'])",
        seeds=10,
    ),
    _mutant(
        "who fails for good is told to have failed twice",
        f"{_FEATURES}.settle:settle",
        "ledger.journal.settled(state, verdicts, times)",
        "ledger.journal.settled(state, verdicts, times)\n"
        "    state is State.FAILED and ledger.journal.settled(state, verdicts, times)",
        seeds=10,
    ),
    _mutant(
        "the end of a task that never ran is not noted",
        f"{_FEATURES}.waiting:end_unstarted",
        "ledger.journal.ended_unstarted(spec.queue, spec.name, ids, state, data)",
        "pass",
        seeds=10,
    ),
)
