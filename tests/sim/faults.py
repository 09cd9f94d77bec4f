"""What goes wrong in a world: plain faults, storms that strike elections, and plots.

A plot follows the script by which a disaster is known to happen and is let loose in a world that
otherwise goes on as its seed wants. A correct core passes through it unharmed.
"""

from collections.abc import Callable

from raftwork.consensus.core import Role
from tests.sim.shape import Kind
from tests.sim.world import Cut, Moment, Op, World


def begin(world: World, end: int) -> None:
    """Let faults happen until the time `end`."""
    shape, rng = world.shape, world.rng
    storm, plot = shape.kind is Kind.STORM, shape.kind is Kind.PLOT
    if storm:
        world.elected = lambda name: _strike_elected(world, name) if world.now < end else None

    def fail() -> None:
        if world.now >= end:
            return
        if plot:
            rng.choice((_figure_8, _lost_directory, _one_voter))(world)
        elif storm and rng.random() < 0.8:
            _strike(world)
        else:
            fault(world)
        world.after(2_500 if plot else rng.randint(1, 2 * shape.fault_every), fail)

    world.after(rng.randint(300, 700), fail)
    if world.clockwork.random() < 0.4:
        world.after(world.clockwork.randint(100, 700), lambda: _retime(world, end))


def _retime(world: World, end: int) -> None:
    """Some go by other times from now on, as if the others had not applied the change yet."""
    rng = world.clockwork
    if world.now < end:
        timeout = rng.choice((90, 150, 150, 300, 900))
        for process in world.processes.values():
            if process.replica is not None and rng.random() < 0.6:
                process.core.retime(timeout // rng.choice((3, 5, 10)), timeout, world.now)
                world.note("retime", process.peer.name, timeout)
                world.retimed = True
                world.schedule(process, world.now)
        world.after(rng.randint(50, 900), lambda: _retime(world, end))


def fault(world: World) -> None:
    """Something goes wrong, preferably for a leader."""
    rng, name = world.rng, world.rng.choice(world.names)
    for leader in _leaders(world):
        name = leader if rng.random() < 0.5 else name
    faults = [_kill, _kill, _wipe, _isolate, _split, _deafen, _part, _pause, _slow, _hand_over]
    rng.choice([*faults, _cut, _blackout, _flap])(world, name)


def _leaders(world: World) -> list[str]:
    return [
        name
        for name, process in world.processes.items()
        if process.replica is not None and process.core.status.role is Role.LEADER
    ]


def _both(name: str, others: list[str]) -> list[tuple[str, str]]:
    return [(name, other) for other in others] + [(other, name) for other in others]


# ---- plain faults ------------------------------------------------------------------------------


def _kill(world: World, name: str) -> None:
    if world.processes[name].replica is not None:
        world.stop(name, power=world.rng.random() < 0.5)
        world.restart_later(name)


def _wipe(world: World, name: str) -> None:
    if world.may_wipe():
        world.wipe(name)
        world.restart_later(name)


def _isolate(world: World, name: str) -> None:
    world.partition(_both(name, world.names))


def _split(world: World, name: str) -> None:
    side = {n for n in world.names if world.rng.random() < 0.5}
    pairs = [(x, y) for x in world.names for y in world.names]
    world.partition([(x, y) for x, y in pairs if (x in side) != (y in side)])


def _deafen(world: World, name: str) -> None:
    world.partition([(name, other) for other in world.names if world.rng.random() < 0.7])


def _part(world: World, name: str) -> None:
    world.partition(_both(name, [world.rng.choice(world.names)]))


def _pause(world: World, name: str) -> None:
    world.pause(name, world.rng.randint(20, 600))


def _slow(world: World, name: str) -> None:
    process = world.processes[name]
    process.sync = world.rng.choice((0, world.shape.sync, 60, 250))
    world.note("disk", name, process.sync)


def _hand_over(world: World, name: str) -> None:
    for process in world.processes.values():
        process.hand_over = process.replica is not None


def _cut(world: World, name: str) -> None:
    process = world.processes[name]
    if process.replica is not None:
        process.cut = Cut(world.rng.choice(list(Moment)), voting=world.rng.random() < 0.5)


def _blackout(world: World, name: str) -> None:
    if world.rng.random() < 0.2:
        for each in world.names:
            if world.processes[each].replica is not None:
                world.stop(each, power=True)
                world.restart_later(each)


def _flap(world: World, name: str) -> None:
    world.link(name, world.rng.choice(world.names), up=False)


# ---- storms ------------------------------------------------------------------------------------


def _strike(world: World) -> None:
    """The leader goes unheard, all campaign at once, voters die voting."""
    rng, leaders = world.rng, _leaders(world)
    name = rng.choice(leaders or world.names)
    if leaders and rng.random() < 0.3:
        _strike_down(world, name)
        return
    if rng.random() < 0.4:
        _cut(world, rng.choice(world.names))
    if rng.random() < 0.5:
        away = [(name, other) for other in world.names if rng.random() < 0.8]
        world.partition(away + [(other, name) for other in world.names if rng.random() < 0.5])
    if rng.random() < 0.2:
        _wipe(world, rng.choice(world.names))
    elif rng.random() < 0.3:
        _kill(world, name)
    for other in world.names:
        if rng.random() < 0.7:
            world.link(other, name, up=False)


def _strike_down(world: World, name: str) -> None:
    """The leader falls and is back at once, as a voter that dies when it has voted."""
    world.stop(name, power=True)

    def back() -> None:
        process = world.processes[name]
        if process.replica is None:
            world.start(name)
            process.cut = Cut(Moment.SPOKEN, voting=True)

    world.after(world.rng.randint(1, 5), back)
    for other in world.names:
        world.link(other, name, up=False)


def _strike_elected(world: World, name: str) -> None:
    """A new leader is cut off before its first word is heard."""
    if world.rng.random() < 0.5:
        away = [(name, other) for other in world.names if world.rng.random() < 0.9]
        world.partition(away + [(o, name) for o in world.names if world.rng.random() < 0.5])


# ---- plots -------------------------------------------------------------------------------------


def _until(world: World, holds: Callable[[], bool], then: Callable[[], None]) -> None:
    """Do `then` once something holds; forget it if that takes too long."""
    give_up = world.now + 1_400

    def look() -> None:
        if world.now < give_up:
            if holds():
                then()
            else:
                world.after(1, look)

    look()


def _succession(world: World, then: Callable[[str, str, str], None]) -> None:
    """Cut the active leader off and await the election of another: `then(old, new, third)`."""
    old = next((n for n in _leaders(world) if world.processes[n].core.status.active), None)
    if old is None:
        return
    others = [name for name in world.names if name != old]
    world.partition(_both(old, others), 400)
    for name in others:
        world.link(name, old, up=False)

    def elected() -> None:
        new = next(name for name in others if name in _leaders(world))
        then(old, new, next(name for name in others if name != new))

    _until(world, lambda: any(name in _leaders(world) for name in others), elected)


def _last(world: World, name: str) -> int:
    store = world.processes[name].store
    return store.last.seq if store is not None else -1


def _lost_directory(world: World) -> None:
    """A leader is cut off from its successor; a voter for that one loses its directory.

    The voter's new directory hears of the old leader only: together they must not make a majority
    (roster.py, point 3).
    """

    def lose(old: str, new: str, voter: str) -> None:
        def act() -> None:
            if world.may_wipe():
                world.note("plot: directory lost", voter)
                world.cuts.clear()
                world.partition(_both(new, world.names), 1_500)
                world.wipe(voter)
                world.after(2, lambda: _start(world, voter))

        world.after(12, act)

    _succession(world, lose)


def _one_voter(world: World) -> None:
    """Two candidates that do not hear each other ask the same voter, which dies once it voted."""
    leaders = _leaders(world)
    if leaders:
        one, other = world.rng.sample([each for each in world.names if each != leaders[0]], 2)
        world.note("plot: one voter", leaders[0])
        world.partition(_both(one, [other]), 600)
        _strike_down(world, leaders[0])


def _figure_8(world: World) -> None:
    """§5.4.2: an entry of an old term reaches a majority, and its leader dies."""

    def cut_off(first: str, second: str, third: str) -> None:
        world.cuts.clear()
        world.partition(_both(second, world.names), 1_600)
        index = _last(world, second)

        def spread() -> None:
            _until(world, lambda: _last(world, third) >= index, lambda: fall(first, third))

        _until(world, lambda: first in _leaders(world), spread)

    def fall(first: str, third: str) -> None:
        """Its acknowledgement still arrives; what the leader says next does not."""
        world.note("plot: figure 8", first)
        world.cuts.clear()
        world.partition([(first, third)], 20)
        world.after(10, lambda: world.stop(first) if world.processes[first].replica else None)
        world.after(1_300, lambda: _start(world, first))

    for name in _leaders(world):
        world.processes[name].ops.append(Op(b"doomed %d" % world.now, 0))
        world.schedule(world.processes[name], world.now)
    _succession(world, cut_off)


def _start(world: World, name: str) -> None:
    if world.processes[name].replica is None:
        world.start(name)
