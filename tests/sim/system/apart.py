"""Brokers that run, but do not all hear each other: where one can lead, somebody does.

All else ends first; links are drawn anew so that somebody can lead by them (connectivity.py), and
before they heal there must be a leader that commits.
"""

from typing import TYPE_CHECKING

from tests.sim.connectivity import Pairs, able, draw, everybody, may_lead, supports
from tests.sim.system.promises import require

if TYPE_CHECKING:
    from raftwork.consensus.core import Consensus
    from tests.sim.system.broker import Broker
    from tests.sim.system.world import World

#: Somebody must lead where somebody has been able to for so long, ms.
LEADS_WITHIN = 5_000
#: How often that is looked at, and clients want something.
LOOK_EVERY = 50


class Apart:
    def __init__(self, world: "World") -> None:
        self._world, self._timeline = world, world.timeline
        self._brokers = {broker.host: broker for broker in world.brokers}
        self._names = list(self._brokers)
        self._links: Pairs = set()
        self._able_since: dict[str, int] = {}
        #: Who leads, and up to where it had applied the log when that was seen first.
        self._led: dict[tuple[str, int], int] = {}
        self._served_at = 0

    def begin(self) -> None:
        world, rng = self._world, self._timeline.fifth
        world.faults.cease()
        heads = self._able(everybody(self._names))
        if not heads:
            return
        head = rng.choice(heads)
        near = [each for each in self._names if each != head and self._supports(head, each)]
        self._links = draw(rng, self._names, head, near)
        cuts = sorted(everybody(self._names) - self._links)
        self._timeline.note("apart", *map("-".join, cuts))
        world.network.cut(cuts, reset=rng.random() < 0.5)
        self._look()

    def _look(self) -> None:
        world, now = self._world, self._timeline.now
        if world.peaceful:
            return
        if self._serves():
            self._served_at = now
        self._able_since = {n: self._able_since.get(n, now) for n in self._able(self._links)}
        for name, since in self._able_since.items():
            text = f"{name} has been able to lead since {since}, and nobody commits"
            require(now - max(since, self._served_at) <= LEADS_WITHIN, "connectivity", text)
        for user in world.users:
            user.lengthen()
        self._timeline.after(LOOK_EVERY, self._look)

    def _serves(self) -> bool:
        """Whether a leader has committed something more than when it was seen first."""
        serves = False
        for broker in self._world.brokers:
            if broker.active is not None and not broker.paused:
                leadership = broker.host, broker.active
                at = broker.position.seq
                serves |= at > self._led.get(leadership, at)
                self._led[leadership] = at
        return serves

    # ---- who can lead ---------------------------------------------------------------------------

    def _able(self, links: Pairs) -> list[str]:
        return able(self._names, links, self._may_lead, self._supports)

    def _may_lead(self, name: str) -> bool:
        core = _core(self._brokers[name])
        return core is not None and may_lead(core)

    def _supports(self, one: str, other: str) -> bool:
        head, voter = _core(self._brokers[one]), _core(self._brokers[other])
        if head is None or voter is None:
            return False
        return supports(head, voter, self._brokers[other].peer)


def _core(broker: "Broker") -> "Consensus | None":
    """Of a broker that runs and is not about to end."""
    runs = broker.alive and broker.stopping is None and not broker.paused
    return broker.node.core if runs and broker.node is not None else None
