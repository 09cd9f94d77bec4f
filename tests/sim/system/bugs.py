"""Bugs in what brokers do for others. Each raises for a while, on every broker: all run the same.

Production contains such errors (broker/containment.py). Here each is raised on purpose, so that no
broker ends by it, nor the next leader; any other error that would be contained is a finding.
"""

from typing import TYPE_CHECKING, NoReturn

from tests.sim.system.process import Process

if TYPE_CHECKING:
    from tests.sim.system.world import World

#: So often (ms) one begins, at most, and so long they last.
EVERY, LASTING = 2_000, (1, 50, 400, 1_500)
#: In one history each party and each leader fail so often at most: pauses double.
STRIKES = 4
#: For so long after a strike nobody needs to be told anything (ms): a pause, and a hello.
AFTERMATH = 2_500


class Bug(Exception):
    """Raised on purpose; `where` says in work for whom."""

    def __init__(self, where: str) -> None:
        super().__init__(f"simulated, in work for {where}")
        self.where = where


class Bugs:
    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = world.timeline.bugs
        self._left = dict[str, int]()
        #: Who meets the bug, and whether before the work is done or after it.
        self._victim, self._before = "", False

    def begin(self) -> None:
        if self._world.shape.bugs:
            self._world.timeline.after(self._rng.randint(1, EVERY), self._next)

    def _next(self) -> None:
        world, rng = self._world, self._rng
        if world.peaceful:
            return
        parties = [*world.workers, *world.users, *world.brokers]
        # A leader as often as all parties, and snapshots, of which few are needed, twice as often.
        self._victim = rng.choice((rng.choice(parties).host, "leader", "helper", "helper"))
        self._before = rng.random() < 0.5
        helper = self._victim == "helper"
        for broker in world.brokers:
            broker.disk.faults.bug = helper
        world.timeline.note("bug", self._victim)
        world.timeline.after(rng.choice(LASTING) + 3_000 * helper, self._mend)
        world.timeline.after(rng.randint(1, EVERY) + 3_000 * helper, self._next)

    def _mend(self) -> None:
        self._victim = ""
        for broker in self._world.brokers:
            broker.disk.faults.bug = False

    def end(self) -> None:
        """There is peace."""
        self._mend()

    def strikes(self, where: str, victim: str, party: Process | None, *, before: bool) -> None:
        """Work for `victim` is about to be done, or was done. Raises Bug."""
        if victim != self._victim or before is not self._before:
            return
        left = self._left.get(victim, STRIKES)
        if not left:
            return
        self._left[victim] = left - 1
        if party is not None:
            party.back_at = max(party.back_at, self._world.timeline.now + AFTERMATH)
        raise Bug(where)


def fails(*_: object) -> NoReturn:
    """In the place of a helper's work."""
    raise Bug("a helper")
