"""Processes as loops in virtual time, and the clocks of the hosts they run on."""

from abc import ABC, abstractmethod

from tests.sim.system.timeline import Timeline

_MILLION = 1_000_000
#: Who is kept from its turns for longer (ms) is missed by others.
LONG = 50


class Clock:
    """A host's clocks: the monotonic one began anywhere and drifts; the wall clock also jumps."""

    def __init__(self, start: int, drift_ppm: int, wall: int) -> None:
        self._start = start
        self._drift = drift_ppm
        self.wall_offset = wall - start

    def monotonic(self, now: int) -> int:
        return self._start + now + now * self._drift // _MILLION

    def wall(self, now: int) -> int:
        return max(0, self.monotonic(now) + self.wall_offset)

    def when(self, monotonic: int) -> int:
        """The first moment at which the monotonic clock shows at least this."""
        now = (monotonic - self._start) * _MILLION // (_MILLION + self._drift)
        while self.monotonic(now) < monotonic:
            now += 1
        return now


class Process(ABC):
    """Takes a turn whenever it is poked or its time has come, one after the other.

    A turn may make the process busy (`busy`): the next one begins when that is over. A paused
    process takes no turns; what arrives meanwhile it finds all at once.
    """

    def __init__(self, timeline: Timeline, host: str, clock: Clock) -> None:
        self.timeline = timeline
        self.host = host
        self.clock = clock
        self.alive = False
        self.free_at = 0
        #: When it last went on after it had been kept from its turns for long.
        self.back_at = 0
        self.born_at = 0
        self._turn_at: int | None = None
        self._life = 0

    @property
    def mono(self) -> int:
        return self.clock.monotonic(self.timeline.now)

    @property
    def paused(self) -> bool:
        return self.free_at > self.timeline.now

    @abstractmethod
    def start(self) -> None:
        """Begin, if it does not run."""

    @abstractmethod
    def turn(self) -> int | None:
        """One turn of the loop; gives when (on the monotonic clock) the next one is due."""

    def born(self) -> None:
        self.alive, self.free_at, self._turn_at = True, self.timeline.now, None
        self.born_at = self.timeline.now
        self._life += 1
        self.poke()

    def died(self) -> None:
        self.alive = False
        self._life += 1

    def poke(self, at: int | None = None) -> None:
        """Take a turn at `at` (now), or as soon as the process is free."""
        if not self.alive:
            return
        now = self.timeline.now
        at = max(self.free_at, now if at is None else at, now)
        if self._turn_at is None or at < self._turn_at:
            self._turn_at = at
            self.timeline.after(at - now, self._due, at, self._life)

    def busy(self, length: int) -> None:
        self.free_at = max(self.free_at, self.timeline.now + length)
        if length > LONG:
            self.back_at = self.free_at

    def pause(self, length: int) -> None:
        """SIGSTOP, and SIGCONT after `length`."""
        self.timeline.note("pause", self.host, length)
        self.busy(length)

    def _due(self, at: int, life: int) -> None:
        if life != self._life or at != self._turn_at:
            return
        self._turn_at = None
        if self.free_at > self.timeline.now:
            self.poke()
            return
        wake_at = self.turn()
        if self.alive and wake_at is not None:
            # A deadline that has passed without effect must not stop the world's time.
            self.poke(max(self.clock.when(wake_at), self.timeline.now + 1))
