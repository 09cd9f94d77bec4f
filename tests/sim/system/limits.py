"""Tasks that count for limits: what is drawn, who sets the limits, and what must be true.

The model knows what each task named, what each limit allows and the times of the entries. After
each entry it counts anew what runs, and compares that and its own GCRA with the machine's gates.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from raftwork.broker.machine import Machine
from raftwork.broker.machine.commands import HoldBack
from raftwork.features.limit_settings import Quota, changed, changes, changes_of
from raftwork.features.limits import (
    ConfigureLimit,
    PauseGates,
    PauseLimit,
    ResumeLimit,
    SetLimit,
)
from raftwork.messages import Extras, LimitReached, Outcome, Spec, encode_failure
from tests.sim.system.promises import Violation, require

if TYPE_CHECKING:
    from tests.sim.system.world import World

#: The share of worlds with limits, and of the batches there that name some.
_SHARE, _BATCHES = 0.5, 0.5
#: How often somebody changes or pauses a limit, ms.
_EVERY = 900
#: Nobody is at this address: what came of it is seen in the log.
_NOBODY = b"whoever sets limits"
#: The limits and what they are at first.
_FIRST: dict[str, dict[str, object]] = {
    "few": {"concurrency": 2},
    "keyed": {"concurrency": 1, "per": "key"},
    "paced": {"rate": "8/s", "burst": 2},
    "tenants": {"concurrency": 2, "rate": "6/s", "per": "tenant"},
}

#: Those of trees of tasks that wait for each other (see `waits.py`): nobody changes these, not even
#: in peace, so a wait behind one that has no end keeps its history from ending.
FOR_TREES: dict[str, dict[str, object]] = {
    "grove": {"concurrency": 1, "per": "key"},
    "copse": {"concurrency": 2},
    "rill": {"rate": "20/s", "burst": 2},
}

Gate = tuple[str, str]


def limit_reached(token: int, after: int, limit: str = "") -> Outcome:
    """What code ends with that asks for a pause of a limit, or of all that its task counts for."""
    return Outcome(token, False, encode_failure(LimitReached(after, limit, "429")))


class Draw:
    """Has some batches name limits; from a stream of its own."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = Random(f"limits of {world.seed}")
        self.there = self._rng.random() < _SHARE

    def change(self, spec: Spec, key: str, extras: Extras) -> tuple[Spec, str, Extras]:
        rng, quotas = self._rng, self._world.queue.limits.quotas
        known = sorted(name for name in _FIRST if name in quotas)
        if not self.there or not known or rng.random() > _BATCHES:
            return spec, key, extras
        names = rng.sample(known, min(len(known), rng.choice((1, 1, 2, 3))))
        key = key or rng.choice("klm")
        if not extras.tenant:
            extras = extras._replace(tenant=rng.choice(("", "acme", "other")))
        return spec._replace(limits=tuple(sorted(names))), key, extras


@dataclass(slots=True)
class _Rate:
    """GCRA of one gate, in us; `times` are those of the hand-outs since its limit was changed."""

    tat: int = 0
    before: int = 0
    last: int = 0  # the token that was charged
    #: `tat` and `before` as they would be without the words on the limit since then. Of several
    #: words the last one counts alone: a gate is not looked at for each.
    charged: tuple[int, int] = 0, 0
    times: list[int] = field(default_factory=list)


class LimitRules:
    """What must be true of limits."""

    def __init__(self, reached: Counter[str]) -> None:
        self._reached = reached
        self.quotas: dict[str, Quota] = {}
        self._of: dict[int, tuple[Gate, ...]] = {}  # by task
        self._passed: dict[int, tuple[Gate, ...]] = {}  # by token that is current
        self._held: Counter[Gate] = Counter()
        self._rates: dict[Gate, _Rate] = {}
        self._shut: dict[Gate, int] = {}  # until when code has asked for it
        self._stood: set[int] = set()  # came in while one of their gates was full

    # ---- limits ---------------------------------------------------------------------------------

    def set(self, command: ConfigureLimit | PauseGates, time: int) -> None:
        if isinstance(command, PauseGates):
            quota = self.quotas[command.name]._replace(paused_until=command.until)
            self._reached["limit paused"] += command.until > 0
            opens = not command.until
        else:
            quota = changed(self.quotas.get(command.name, Quota()), changes_of(command.changes))
            opens = True
            self._reached["limit set"] += 1
            over = 0 < quota.concurrency < self.held_at_once(command.name)
            self._reached["limit set below what runs"] += over
        self.quotas[command.name] = self._opened(command.name, quota, time) if opens else quota

    def _opened(self, name: str, quota: Quota, time: int) -> Quota:
        """Its gates begin anew: what they owe is no more than the quota lets them owe."""
        quota = quota._replace(since=max(quota.since + 1, time))
        most = quota.since * 1_000 + quota.burst * quota.interval
        for gate, rate in self._rates.items():
            if gate[0] == name:
                rate.times.clear()
                self._reached["a rate was raised over what was owed"] += rate.tat > most
                rate.tat, rate.before = (min(owed, most) for owed in rate.charged)
        for gate in [gate for gate in self._shut if gate[0] == name]:
            self._reached["what code had shut was opened"] += self._shut.pop(gate) > time
        return quota

    def held_at_once(self, name: str) -> int:
        """How many tasks run at the fullest gate of this limit."""
        return max((many for gate, many in self._held.items() if gate[0] == name), default=0)

    # ---- tasks ----------------------------------------------------------------------------------

    def entered(self, seq: int, spec: Spec, key: str, tenant: str) -> None:
        by = {"": "", "key": key, "tenant": tenant}
        gates = tuple((name, by[self.quotas[name].per]) for name in spec.limits)
        if gates:
            self._of[seq] = gates
            if any(self._is_full(gate) for gate in gates):
                self._stood.add(seq)

    def gates_of(self, seq: int) -> tuple[Gate, ...]:
        """What this task counts at while it runs."""
        return self._of.get(seq, ())

    def is_passed_by(self, token: int) -> bool:
        """Whether this token, which is current, counts at any."""
        return token in self._passed

    def held_back(self, command: HoldBack) -> None:
        """Its code, whose token is still current, has asked for a pause."""
        for gate in self._passed.get(command.token, ()):
            if command.limit in ("", gate[0]):
                self._shut[gate] = max(self._shut.get(gate, 0), command.until)
                if (rate := self._rates.get(gate)) is not None:
                    rate.charged = rate.tat, rate.before
                self._reached["a limit was shut by code"] += 1

    def _is_full(self, gate: Gate) -> bool:
        return 0 < self.quotas[gate[0]].concurrency <= self._held[gate]

    def assigned(self, seq: int, token: int, time: int) -> None:
        gates = self._of.get(seq, ())
        for gate in gates:
            quota = self.quotas[gate[0]]
            shut, full = self._shut.get(gate, 0), self._is_full(gate)
            if quota.paused_until <= time and shut <= time and not full:
                continue
            text = f"at {time} task {seq} passes {gate} of {quota}, which {self._held[gate]} hold"
            require(quota.paused_until <= time, "paused", text)
            require(shut <= time, "limit shut by code", f"{text}, and shut until {shut}")
            raise Violation("two of a key at once" if gate[1] else "limit exceeded", text)
        for gate in gates:
            self._held[gate] += 1
            self._charge(gate, token, time)
        if gates:
            self._passed[token] = gates
            self._reached["let in by all its gates"] += len(gates) > 1
            self._reached["let in after a gate was full"] += seq in self._stood
            self._stood.discard(seq)

    def _charge(self, gate: Gate, token: int, time: int) -> None:
        quota = self.quotas[gate[0]]
        if not quota.tasks:
            return
        rate = self._rates.setdefault(gate, _Rate())
        rate.times.append(time)
        rate.before, rate.last = rate.tat, token
        rate.tat = max(rate.tat, time * 1_000) + quota.interval
        rate.charged = rate.tat, rate.before
        for many, since in enumerate(reversed(rate.times), 1):
            allowed = quota.burst + (time - since) * 1_000 // quota.interval
            if many > allowed:
                text = f"{many} hand-outs of {gate} from {since} to {time}, {allowed} are allowed"
                raise Violation("rate exceeded", text)
        self._reached["handed out at a rate"] += 1

    def unstarted(self, token: int) -> None:
        """It is about to come back, and its code never began."""
        for gate in self._passed.get(token, ()):
            rate = self._rates.get(gate)
            if rate is not None and rate.last == token:
                rate.tat, rate.last, rate.before = rate.before, 0, 0
                rate.charged = rate.charged[1], 0
                if rate.times:  # else its limit was changed since
                    rate.times.pop()
                self._reached["a rate was given back"] += 1

    def lost(self, token: int) -> None:
        """Its worker is."""
        self._reached["a gate was left by a loss"] += token in self._passed

    def ended(self, token: int) -> None:
        """The token is over."""
        for gate in self._passed.pop(token, ()):
            self._held[gate] -= 1

    def over(self, machine: Machine, tokens: Iterable[int], time: int) -> None:
        """After an entry, `tokens` run: the machine's gates count them, and nothing else."""
        gates = machine.gates
        recount = dict(Counter(gate for token in tokens for gate in self._passed.get(token, ())))
        held = {gate: count for gate, count in self._held.items() if count}
        require(held == recount, "recount", lambda: f"{held} are held, {recount} run")
        told = {gate: gates.find(gate).held for gate in held}
        require(told == held, "recount", lambda: f"the machine has {told}, {held} run")
        sums = Counter[str]()
        for (name, _), many in recount.items():
            sums[name] += many
        told_sums = {name: gates.use_of(name)[0] for name in gates.quotas}
        run = {name: sums[name] for name in gates.quotas}
        require(told_sums == run, "recount", lambda: f"{told_sums} are told, {run} run")
        for gate, rate in self._rates.items():
            found, now = gates.find(gate), time * 1_000
            owed = found.owed(gates.quotas[gate[0]])
            if max(owed, now) != max(rate.tat, now):
                text = f"at {time} {gate} is charged until {rate.tat}, and is {found}"
                raise Violation("rate charged", text)
        for gate, until in self._shut.items():
            found = gates.find(gate)
            told_until = found.shut_until if found.since >= gates.quotas[gate[0]].since else 0
            if max(told_until, time) != max(until, time):
                text = f"at {time} {gate} is shut until {until}, and is told: until {told_until}"
                raise Violation("limit shut by code", text)


class LimitAdmin:
    """Whoever sets, changes and pauses limits; in peace nothing holds anybody back any more."""

    def __init__(self, world: "World", draw: Draw) -> None:
        self._world, self._there = world, draw.there
        self._rng = Random(f"changes of limits of {world.seed}")
        self._asked = 0

    def begin(self) -> None:
        """From now on."""
        if not self._there:
            return
        world, rng = self._world, self._rng
        first = _FIRST | FOR_TREES
        unset = [name for name in first if name not in world.queue.limits.quotas]
        if unset:
            self._ask(*(self._set(name, first[name]) for name in unset))
        elif world.peaceful:
            for name in _FIRST:
                self._ask(
                    ResumeLimit(self._next(), name),
                    self._set(name, {"concurrency": None, "rate": None}),
                )
        else:
            self._ask(self._draw())
        world.timeline.after(rng.randint(1, 2 * _EVERY), self.begin)

    def _draw(self) -> SetLimit | PauseLimit | ResumeLimit:
        rng, held = self._rng, self._world.queue.limits.held_at_once
        full = [name for name in _FIRST if held(name) > 1]
        if full and rng.random() < 0.5:  # below what runs: by chance alone that is rare
            name = rng.choice(full)
            return self._set(name, {"concurrency": held(name) - 1})
        name = rng.choice(list(_FIRST))
        match rng.randrange(8):
            case 0:
                return PauseLimit(self._next(), name)
            case 1 | 2:
                until = self._world.queue.timers.time + rng.randint(1, 2_000)
                return PauseLimit(self._next(), name, until)
            case 3 | 4:
                return ResumeLimit(self._next(), name)
            case 5:
                return self._set(
                    name, {"rate": rng.choice(("4/s", "20/s", None)), "burst": rng.choice((1, 3))}
                )
            case _:
                return self._set(name, {"concurrency": rng.choice((1, 2, 4, None))})

    def _set(self, name: str, values: dict[str, object]) -> SetLimit:
        return SetLimit(self._next(), name, changes(**values))

    def _next(self) -> int:
        self._asked += 1
        return self._asked

    def _ask(self, *requests: SetLimit | PauseLimit | ResumeLimit) -> None:
        for broker in self._world.brokers:
            leadership = broker.node._supervisor.leadership if broker.node is not None else None
            if leadership is None or broker.paused:
                continue
            for request in requests:
                leadership.request(_NOBODY, request, 8, broker.mono)
            broker.poke()
