"""The worlds: fleets of machines, lengths of tasks, closed batches and open arrivals."""

from __future__ import annotations

from dataclasses import replace
from itertools import repeat
from math import inf
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from bench.balancing.world import Machine, Task, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEAN = 2.0  # seconds a task takes on a CPU of speed 1
CPUS = 2
SPEEDS = (1.0, 2.0, 4.0, 8.0)

LENGTHS: dict[str, Callable[[Random], float]] = {
    "constant": lambda _rng: MEAN,
    "exponential": lambda rng: rng.expovariate(1 / MEAN),
    # The longest of ten thousand is about sixty times as long as the mean.
    "heavy-tailed": lambda rng: MEAN * rng.lognormvariate(-0.78, 1.25),
}


def equal(count: int, _rng: Random, _horizon: float) -> list[Machine]:
    return [Machine(f"w{i}", CPUS, 1.0) for i in range(count)]


def speeds(count: int, _rng: Random, _horizon: float) -> list[Machine]:
    return [Machine(f"w{i}", CPUS, SPEEDS[i % 4]) for i in range(count)]


def noisy(count: int, rng: Random, horizon: float) -> list[Machine]:
    """One in four has a neighbour that now and then runs two threads on each of its CPUs."""
    made = equal(count, rng, horizon)
    for machine in made[::4]:
        now, threads, times = 0.0, 0, []
        while now < horizon:
            now += rng.expovariate(1 / 15)
            threads = 2 * CPUS - threads
            times.append((now, threads))
        machine.neighbours = times
    return made


def coming(count: int, rng: Random, horizon: float) -> list[Machine]:
    """Half of them die after a while, each followed by another some seconds later."""
    made: list[Machine] = []
    for i in range(count):
        now, number = 0.0, 0
        while now < horizon:
            life = rng.expovariate(1 / 20) + 2 if i % 2 else inf
            made.append(Machine(f"w{i}.{number}", CPUS, 1.0, (), now, now + life))
            now += life + rng.expovariate(1 / 5)
            number += 1
    return made


FLEETS: dict[str, Callable[[int, Random, float], list[Machine]]] = {
    "equal": equal,
    "speeds 1:2:4:8": speeds,
    "noisy neighbour": noisy,
    "joining and dying": coming,
}


class Scene(NamedTuple):
    """One world. `load` is a share of what the fleet can do, or 0 for a closed batch."""

    fleet: str
    workers: int
    lengths: str
    load: float
    size: int  # tasks of a closed batch, or seconds of arrivals

    def build(self, strategy: str, seed: int) -> World:
        """The same machines and tasks for every strategy."""
        rng = Random(f"{self} {seed}")
        machines = FLEETS[self.fleet](self.workers, rng, self.horizon)
        length = LENGTHS[self.lengths]
        tasks = [
            Task(number, arrival, length(rng), f"key {rng.randrange(10_000)}")
            for number, arrival in enumerate(self._arrivals(machines, rng))
        ]
        return World([replace(m) for m in machines], tasks, strategy, Random(seed))

    @property
    def horizon(self) -> float:
        """So long machines join, die and have neighbours: thrice what it should take, and more."""
        expected = self.size if self.load else self.size * MEAN / (self.workers * CPUS)
        return 300 + 3 * expected

    def _arrivals(self, machines: list[Machine], rng: Random) -> Iterator[float]:
        if not self.load:
            yield from repeat(0.0, self.size)
            return
        rate = self.load * capacity(machines, self.horizon) / self.horizon / MEAN
        now = rng.expovariate(rate)
        while now < self.size:
            yield now
            now += rng.expovariate(rate)


def capacity(machines: list[Machine], until: float) -> float:
    """Work that can be done until then: seconds on a CPU of speed 1."""
    return sum(_one(machine, until) for machine in machines)


def _one(machine: Machine, until: float) -> float:
    done, now, threads = 0.0, machine.joins, 0
    for when, more in (*machine.neighbours, (inf, 0)):
        end = max(now, min(when, until, machine.dies))
        # With every slot busy, each thread has an even part of the CPUs.
        ours = machine.cpus * min(1.0, machine.cpus / (machine.cpus + threads))
        done += (end - now) * ours * machine.speed
        now, threads = end, more
        if when >= until:
            break
    return done


def bound(world: World) -> float:
    """No schedule is faster: max(total work / total speed, longest task / fastest worker).

    Found by halving: it was `made` in so long, so that no bound is higher.
    """
    low, high = 0.0, world.made
    while high - low > 0.001:
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if capacity(world.machines, middle) < sum(world.lengths)
            else (low, middle)
        )
    return max(high, max(world.lengths) / max(machine.speed for machine in world.machines))
