"""Deliberate bugs in limits; each in both protocols."""

from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.surgery import Edit

_GATES = "raftwork.broker.machine.gates:Gates"
_MACHINE = "raftwork.broker.machine"

#: Name, place, what stands there, what stands there instead, seeds.
_BUGS: tuple[tuple[str, str, str, str, int], ...] = (
    (
        "gate freed twice",
        f"{_GATES}.leave",
        "gate.holders.remove(token)",
        "gate.holders -= {token, min(gate.holders - {token}, default=token)}",
        20,
    ),
    (
        "gate not freed on loss",
        f"{_MACHINE}.attempts:lose",
        "run = _end(ledger, token, effects)",
        "kept = ledger.gates._of.get(token)\n"
        "        if kept:\n"
        "            ledger.gates._of[token] = ()\n"
        "        run = _end(ledger, token, effects)",
        40,
    ),
    (
        "gates of a task are taken one by one",
        f"{_GATES}.enter",
        "quotas.append((name, gate, quota))",
        "quotas.append((name, gate, quota))\n"
        "        if len(names) > 1 and name != names[-1]:\n"
        "            gate.holders.add(token)",
        20,
    ),
    (
        "rate charged on release",
        f"{_GATES}.give_back",
        "gate.tat, gate.last, gate.before = gate.before, 0, 0",
        "gate.tat, gate.last, gate.before = gate.tat + 200_000, 0, 0",
        40,
    ),
    (
        "rate not charged",
        f"{_GATES}._charge",
        "gate.tat = max(gate.tat, ledger.time * 1_000) + quota.interval",
        "gate.tat = max(gate.tat, ledger.time * 1_000) + quota.interval * (token % 5 > 0)",
        20,
    ),
    (
        "rate judged by a local clock",
        f"{_GATES}.enter",
        "gate.opens_at(quota, ledger.time, gate.held)",
        "gate.opens_at(quota, int(__import__('time').time() * 1000), gate.held)",
        40,
    ),
    (
        "two of a key at once after a restart",
        f"{_GATES}._load",
        "self._of[token] = gates_named(text)",
        "self._of[token] = ()",
        40,
    ),
    (
        "limits forgotten at a restart",
        f"{_GATES}._load",
        "self.quotas[name] = Quota(*unpack(settings))",
        "self.quotas[name] = Quota()",
        40,
    ),
    (
        "a limit that code has shut lets tasks in",
        f"{_MACHINE}.gates:Gate.opens_at",
        "at = max(quota.paused_until, shut_until)",
        "at = quota.paused_until",
        40,
    ),
    (
        "a rate that is raised keeps what was owed to the old one",
        f"{_MACHINE}.gates:Gate.owed",
        "return min(self.tat, quota.since * 1_000 + quota.burst * quota.interval)",
        "return self.tat",
        40,
    ),
    (
        "to shut a limit counts as a failure",
        f"{_MACHINE}.attempts:hold_back",
        "_again(ledger, run, ledger.time if gates else command.until, effects)",
        "run = run._replace(failures=run.failures + 1)\n"
        "        _again(ledger, run, ledger.time if gates else command.until, effects)",
        40,
    ),
    (
        "a paused limit lets tasks in",
        f"{_MACHINE}.gates:Gate.opens_at",
        "at = max(quota.paused_until, shut_until)",
        "at = shut_until",
        20,
    ),
)

GATES = tuple(
    Mutant(f"{consensus}: {name}", (Edit(place, old, new),), seeds, consensus=consensus)
    for consensus in ("raft", "zab")
    for name, place, old, new, seeds in _BUGS
)
