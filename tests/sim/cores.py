"""Simulated clusters of consensus cores: `python -m tests.sim.cores --seeds 0-1000`.

Every seed is a world of its own (world.py) that first suffers faults under load. Then everything
runs but some links, and where somebody can lead by those that are left (connectivity.py), somebody
must, before they heal. At last it is left in peace: one leader must become active, every replica, a
blank one too, must count and catch up, and nothing acknowledged may be missing. Throughout, the
oracle (checkers.py) watches.
"""

import sys
from collections import Counter

import click

from tests.sim import faults
from tests.sim.checkers import require
from tests.sim.connectivity import Pairs, draw, everybody
from tests.sim.protocols import PROTOCOLS
from tests.sim.shape import Kind
from tests.sim.world import Op, World

#: Milliseconds of virtual time in which a cluster left in peace must be whole again.
RECOVERY = 6_000
#: … and in which, while links are down, somebody must lead where somebody has been able to for so
#: long. Nobody may be able to: then that time goes by.
LEADS_WITHIN, APART = 2_500, 4_000


class Failure(AssertionError):
    """A seed that does not hold, with its world."""

    def __init__(self, world: World, command: str, cause: AssertionError) -> None:
        super().__init__(f"{command}: {cause}")
        self.world = world


def run(seed: int, kind: Kind | None = None, protocol: str = "raft") -> World:
    """Live through one seed, in a world of its own or the given kind. Raises Failure."""
    world = World(seed, kind, protocol)
    try:
        _suffer(world)
        _live_apart(world)
        _recover(world)
    except AssertionError as error:
        options = f"--seed {seed} --consensus {protocol}" + (f" --kind {kind}" if kind else "")
        raise Failure(world, f"python -m tests.sim.cores {options}", error) from error
    return world


def _suffer(world: World) -> None:
    shape, end = world.shape, world.shape.duration

    def ask() -> None:
        world.client()
        if world.now < end:
            world.after(world.rng.randint(1, 2 * shape.op_every), ask)

    world.after(0, ask)
    faults.begin(world, end)
    world.run(end)


def _live_apart(world: World) -> None:
    """Everything runs, but some links are down: where somebody can lead, somebody does."""
    rng, names = world.rng, world.names
    if len(names) < 3:
        return
    world.mend()
    world.run(world.now + rng.choice((0, 100, 400)))
    links = _draw(world)
    world.part(links)
    end, able_since, marker = world.now + APART, dict[str, int](), 0
    while world.now < end and not _serves(world):
        able = set(world.able(links))
        able_since = {name: able_since.get(name, world.now) for name in able}
        for name, since in able_since.items():
            require(world.now - since < LEADS_WITHIN, f"{name} can lead, and nobody does")
        for process in world.processes.values():
            if process.replica is not None and process.core.status.active:
                marker += 1
                process.ops.append(Op(b"apart %d" % marker, 0))
                world.schedule(process, world.now)
        world.run(world.now + 20)


def _serves(world: World) -> bool:
    """Whether something was committed since the links are down."""
    return bool(world.checker.history) and world.checker.history[-1].data.startswith(b"apart")


def _draw(world: World) -> Pairs:
    """Links by which somebody can lead, and others."""
    names, full = world.names, everybody(world.names)
    heads = world.able(full)
    if not heads:
        return full
    head = world.rng.choice(heads)
    near = [each for each in names if each != head and world._supports(head, each)]
    return draw(world.rng, names, head, near)


def _recover(world: World) -> None:
    world.calm()
    deadline = world.now + RECOVERY
    marker = 0
    while not _whole(world, marker):
        require(world.now < deadline, f"not whole after {RECOVERY} ms in peace")
        living = [p for p in world.processes.values() if p.replica is not None]
        active = [p for p in living if p.core.status.active]
        for process in active:
            marker += 1
            process.ops.append(Op(b"marker %d" % marker, 0))
            world.schedule(process, world.now)
        world.run(world.now + 60)
    world.checker.nothing_lost()


def _whole(world: World, marker: int) -> bool:
    """One active leader, no learner, and all replicas applied the same, this marker included."""
    replicas = list(world.processes.values())
    if not marker or any(process.store is None for process in replicas):
        return False
    stores = [process.store for process in replicas if process.store is not None]
    roster = {process.peer.name: process.peer.incarnation for process in replicas}
    return (
        sum(process.core.status.active for process in replicas) == 1
        and all(store.restored().roster == roster for store in stores)
        and {store.machine for store in stores} == {stores[0].machine}
        and b"marker" in world.checker.history[-1].data
        and stores[0].applied == world.checker.history[-1].at
    )


@click.command()
@click.option("--seed", type=int, help="Run one seed and print its trace.")
@click.option("--seeds", default="0-300", help="Run a range A-B, ends included.")
@click.option("--kind", type=click.Choice([str(kind) for kind in Kind]), help="Only such worlds.")
@click.option("--consensus", type=click.Choice(list(PROTOCOLS)), default="raft", show_default=True)
def main(seed: int | None, seeds: str, kind: str | None, consensus: str) -> None:
    """Simulate clusters of consensus cores; exit 1 at the first seed that fails."""
    first, last = (seed, seed) if seed is not None else map(int, seeds.split("-"))
    reached: Counter[str] = Counter()
    for number in range(first, last + 1):
        try:
            world = run(number, Kind(kind) if kind else None, consensus)
        except Failure as failure:
            tell(failure.world)
            print(f"FAILED: {failure}")
            if seed is not None:
                raise
            sys.exit(1)
        reached.update(world.reached)
        if seed is not None:
            tell(world)
    print(f"{last - first + 1} seeds hold; reached: {dict(sorted(reached.items()))}")


def tell(world: World) -> None:
    """The trace: its last lines, if it is long."""
    print(world.shape)
    print(*world.lines(), sep="\n")
    print(f"trace hash {world.hash:08x}, {len(world.checker.history)} entries")


if __name__ == "__main__":
    main()
