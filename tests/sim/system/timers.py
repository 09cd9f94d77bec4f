"""Tasks with a delay, a time, an expiry or a deadline: what is drawn, and what must be true.

The model knows what each task said, and the times of the entries: of the product it needs no clock.
Before the commands of an entry are carried out, whatever was due by its time has been done.
"""

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from raftwork.features.effects import Done, Reply, Settled
from raftwork.features.reschedule import MoveTo, Reschedule
from raftwork.messages import Extras, Spec, State, decode_failure
from tests.sim.system.promises import require

if TYPE_CHECKING:
    from tests.sim.system.known import Known
    from tests.sim.system.world import World

#: The share of worlds with such tasks, and of the batches there that are such.
_SHARE, _BATCHES = 0.5, 0.4
#: How often some task is moved in time, in these worlds, ms.
_MOVE_EVERY = 900
#: Nobody is at this address: what came of it is seen in the log.
_NOBODY = b"tasks moved in time"
#: What the simulated wall clocks say at the beginning, more or less.
_WALL = 1_700_000_000_000


class Draw:
    """Gives some batches a time; from a stream of its own."""

    def __init__(self, world: "World") -> None:
        self._timeline = world.timeline
        self._rng = Random(f"timers of {world.seed}")
        self.there = self._rng.random() < _SHARE

    def change(self, spec: Spec, extras: Extras) -> tuple[Spec, Extras]:
        rng = self._rng
        if not self.there or rng.random() > _BATCHES:
            return spec, extras
        # No effect tells that an ordered task is ready behind others of its key.
        match 2 if spec.ordered else rng.randrange(4):
            case 0:
                spec = spec._replace(delay=rng.choice((1, 100, 1_000, 3_000)))
            case 1:
                at = _WALL + self._timeline.now + rng.randint(-1_000, 5_000)
                extras = extras._replace(at=at)
            case _:
                pass
        if rng.random() < 0.5:
            spec = spec._replace(expires=spec.delay + rng.choice((1, 30, 300, 2_000)))
        if rng.random() < 0.4:
            spec = spec._replace(deadline=spec.delay + rng.choice((20, 400, 2_500)))
        return spec, extras


@dataclass(slots=True)
class Times:
    """When a task is due, expires and must have ended (machine time); 0 for never."""

    task: "Known"
    due: int
    expires: int
    deadline: int
    #: In which epoch it came in, or was moved.
    epoch: int
    scheduled: bool
    #: Whether its code may have begun.
    begun: bool = False


class TimerRules:
    """What must be true of time."""

    def __init__(self, reached: Counter[str]) -> None:
        self._reached = reached
        #: By number: of unfinished tasks.
        self._times: dict[int, Times] = {}
        self.time = self.epoch = 0

    def entry(self, time: int, epoch: int) -> None:
        """Its effects follow."""
        self.time, self.epoch = max(self.time, time), epoch

    def swept(self) -> None:
        """The entry has done what time alone brings; its commands follow."""
        for times in self._times.values():
            if late := self._late(times):
                require(False, "late", f"at {self.time} it {late}: {times}")

    def _late(self, times: Times) -> str:
        """What should have been done to it by now. Asked of each after every entry."""
        if times.scheduled and times.due <= self.time:
            return "is not woken"
        if 0 < times.deadline <= self.time:
            return "is beyond its deadline"
        waits = times.task.token is None and not times.begun
        return "has not expired" if waits and 0 < times.expires <= self.time else ""

    def entered(self, seq: int, task: "Known", created: int, at: int) -> None:
        spec = task.spec
        due = max(spec.delay and created + spec.delay, at)
        expires, deadline = spec.expires, spec.deadline
        times = Times(
            *(task, due, expires and created + expires, deadline and created + deadline),
            *(self.epoch, due > self.time),
        )
        self._times[seq] = times
        self._reached["scheduled"] += times.scheduled

    def waits(self, seq: int) -> None:
        times = self._times.get(seq)
        if times is None:
            return
        early = times.scheduled and times.due > self.time
        require(not early, "ran early", lambda: f"at {self.time} it is woken: {times}")
        self._reached["due across a failover"] += times.scheduled and times.epoch != self.epoch
        times.scheduled = False

    def assigned(self, seq: int) -> None:
        times = self._times.get(seq)
        if times is None:
            return

        def text() -> str:
            return f"at {self.time} it is handed out: {times}"

        require(not times.scheduled, "ran early", text)
        over = not times.begun and 0 < times.expires <= self.time
        require(not over, "ran after expiry", text)
        over = 0 < times.deadline <= self.time
        require(not over, "ran after its deadline", text)

    def began(self, task: "Known") -> None:
        """By the word of a command its code began, or may have."""
        times = self._times.get(task.seq)
        if times is not None:
            times.begun = True

    def ended(self, seq: int) -> None:
        self._times.pop(seq, None)

    def ends_by_time(self, effect: Settled, *, ran: bool) -> bool:
        """Whether time alone ended it, and rightly; `ran`: code of it began somewhere."""
        times = self._times.get(effect.seq)
        if effect.state not in (State.CANCELLED, State.FAILED) or times is None:
            return False
        why = decode_failure(effect.data).type
        if effect.state is State.CANCELLED and why == "expired":
            right = 0 < times.expires <= self.time and not times.begun and not effect.token
            require(right and not ran, "expired", f"at {self.time} it ends as expired: {times}")
            self._reached["expired"] += 1
            self._reached["expired after it was handed back"] += times.task.attempts > 0
            return True
        if effect.state is State.FAILED and why == "DeadlineExceeded":
            right = 0 < times.deadline <= self.time
            require(right, "deadline", f"at {self.time} it ends by its deadline: {times}")
            what = "while it ran" if effect.token else "while it waited"
            self._reached[f"deadline passed {what}"] += 1
            return True
        return False

    def moved(self, command: MoveTo, reply: Reply, task: "Known") -> bool:
        """A task was to be moved in time; whether it was."""
        times = self._times.get(task.seq)
        scheduled = times is not None and times.scheduled
        ready = task.waits_since is not None and not task.attempts and not task.spec.ordered
        may = task.outcome is None and task.token is None and (scheduled or ready)
        right = reply == Done(int(may))
        require(right, "moved in time", lambda: f"{command} of {task}: {reply}")
        if not may:
            return False
        if times is None:
            times = self._times[task.seq] = Times(task, 0, 0, 0, 0, scheduled=True)
        times.due, times.epoch, times.scheduled = command.at, self.epoch, True
        self._reached["a scheduled task was moved"] += scheduled
        self._reached["a waiting task was moved"] += not scheduled
        return True


class Moves:
    """Whoever moves tasks in time, until there is peace."""

    def __init__(self, world: "World", draw: Draw) -> None:
        self._world, self._there = world, draw.there
        self._rng = Random(f"moves of {world.seed}")
        self._asked = 0

    def begin(self) -> None:
        """From now on."""
        world, rng = self._world, self._rng
        if world.peaceful or not self._there:
            return
        ids = world.book.ids[-20:]
        for broker in world.brokers:
            leadership = broker.node._supervisor.leadership if broker.node is not None else None
            if leadership is None or broker.paused or not ids:
                continue
            self._asked += 1
            at = max(0, leadership.time(broker.mono) + rng.randint(-500, 2_500))
            request = Reschedule(self._asked, rng.choice(ids), at)
            leadership.request(_NOBODY, request, 8, broker.mono)
            broker.poke()
        world.timeline.after(rng.randint(1, 2 * _MOVE_EVERY), self.begin)
