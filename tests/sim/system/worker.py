"""A worker process: the real Agent over a pool whose code runs in virtual time.

What a task's code does stands in its payload (see `workload.py`), so that it is the same wherever
and whenever it runs; what it returns names its token, so that no two attempts return the same.
"""

from collections import deque
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, cast

from raftwork.features import from_broker, to_broker
from raftwork.messages import (
    Hopeless,
    Loss,
    Outcome,
    PushedTask,
    ResumeAsked,
    RetryAsked,
    Wait,
    decode_spec,
    encode_failure,
)
from raftwork.messages.flow_values import filled
from raftwork.wire import pack, unpack
from raftwork.worker.agent import Agent, Identity, Load, Turn
from raftwork.worker.pool import Running
from raftwork.worker.runner import Ended, failure, lost
from raftwork.worker.task_notes import Board, Courier, Said
from tests.sim.system.attempt_ends import Left
from tests.sim.system.disk import CLUSTER
from tests.sim.system.flows import GROWS, NODE, grown, value_of
from tests.sim.system.limits import limit_reached
from tests.sim.system.network import Dealer
from tests.sim.system.process import Clock, Process
from tests.sim.system.workload import NAMES

if TYPE_CHECKING:
    from tests.sim.system.world import World

#: Between two looks for a verdict, ms.
_LOOK = 20
#: Kinds of code that say what is to become of their attempt.
_ASKS = ("retry", "resume", "reject")
NEVER = 2**62
#: What a worker that drains gives tasks that wait for others, ms.
GRACE = 4_000
ADDRESSES = {address: name for name, address in CLUSTER.items()}


@dataclass(slots=True)
class Code:
    """Code that runs: until when, and how it ends (None: its worker dies of it).

    `number` is that of a checkpoint for whose verdict it waits, or 0.
    """

    task: PushedTask
    since: int
    until: int
    outcome: Outcome | None
    number: int = 0
    #: The task whose outcome it waits for, since which turn; whether it holds no slot meanwhile,
    #: and until it has one again.
    awaits: str | None = None
    turn: int = 0
    parked: bool = False

    def ends(self, at: int) -> None:
        """It waits for nothing any more, and ends then."""
        self.until, self.awaits, self.parked = at, None, False


class Notes(Board):
    """What tasks say, at the worker's time."""

    def __init__(self, worker: "Worker") -> None:
        super().__init__(worker.poke)
        self._worker = worker

    def say(self, token: int, fraction: float, text: str) -> None:
        self._said[token] = Said(token, fraction, text, self._worker.mono)


class Pool:
    """Runs code in virtual time, as `raftwork.worker.pool.Pool` demands."""

    def __init__(self, worker: "Worker", slots: int) -> None:
        self._worker = worker
        self.slots = slots
        self._waiting: deque[PushedTask] = deque()
        self._running: dict[int, Code] = {}
        self._spare = worker.world.waits.spare(slots)
        self.notes = Notes(worker)
        self.fatal: list[Code] = []
        self._ended: list[int] = []

    def start(self, tasks: list[PushedTask]) -> None:
        self._waiting.extend(tasks)
        self._fill()

    def _fill(self) -> None:
        for code in self._running.values():
            if code.parked and code.awaits is None and (self._room() or self._few_run()):
                code.parked = False
                self._goes_on(code)
        while self._waiting and self._room():
            task = self._waiting.popleft()
            code = self._running[task.token] = self._worker.begin(task)
            if code.awaits is None:
                self._worker.poke(code.until)
                self._worker.world.fork_servers.began(self._worker, code)
                continue
            code.parked = self.parked < self._spare
            if code.parked:
                self._worker.world.waits.parked(self._worker, self.parked)

    def _room(self) -> bool:
        return len(self._running) - self.parked < self.slots

    def _few_run(self) -> bool:
        """Slots are held by code that waits."""
        run = [c for c in self._running.values() if c.awaits is None and not c.parked]
        return len(run) < self.slots

    @property
    def parked(self) -> int:
        return sum(code.parked for code in self._running.values())

    def _goes_on(self, code: Code) -> None:
        code.until = self._worker.timeline.now + 3
        self._worker.poke(code.until)

    def waiting(self) -> list[Wait]:
        return [
            Wait(code.task.token, code.turn, code.parked, [code.awaits], True)
            for code in self._running.values()
            if code.awaits is not None
        ]

    def end_waits(self, hopeless: list[Hopeless]) -> None:
        for token, turn, why in hopeless:
            code = self._running.get(token)
            if code is not None and code.awaits is not None and code.turn == turn:
                self._worker.world.waits.without_hope(code, why)
                code.outcome = failure(token, "WouldDeadlock", f"{code.task.id} is without hope")
                self._over(code)
        self._fill()

    def _over(self, code: Code) -> None:
        """It waits no more; one that is parked goes on once it has a slot."""
        code.awaits = None
        if not code.parked:
            self._goes_on(code)

    def codes(self) -> list[Code]:
        return list(self._running.values())

    def collect(self) -> list[Ended]:
        now = self._worker.timeline.now
        for code in self._running.values():
            if code.awaits is not None and self._worker.world.waits.over(code.awaits):
                self._over(code)
        over = [c for c in self._running.values() if c.until <= now and self._heard(c, now)]
        ended: list[Ended] = []
        for code in over:
            del self._running[code.task.token]
            if code.outcome is None:
                self.fatal.append(code)
                continue
            self._ended.append(code.task.token)
            self._worker.end(code.outcome)
            ended.append(Ended(code.outcome, (code.until - code.since) * 1_000_000))
        self._fill()
        return ended

    def _heard(self, code: Code, now: int) -> bool:
        """Whether it waits for no verdict on a checkpoint (any more); else it looks again."""
        if code.number:
            token = code.task.token
            verdict = self.notes.verdict(token, code.number)
            if verdict is None:
                code.until = now + _LOOK
                self._worker.poke(code.until)
                return False
            self._worker.world.queue.ends.told(token, code.number, verdict)
        return True

    def running(self) -> list[Running]:
        clock = self._worker.clock
        return [Running(t, clock.monotonic(c.since)) for t, c in self._running.items()]

    def withdraw(self) -> list[PushedTask]:
        back = list(self._waiting)
        self._waiting.clear()
        return back

    def cancel(self, tokens: set[int]) -> list[PushedTask]:
        """Some code ends by an exception, some returns soon, some heeds nothing."""
        back = [task for task in self._waiting if task.token in tokens]
        self._waiting = deque(task for task in self._waiting if task.token not in tokens)
        now = self._worker.timeline.now
        for token in sorted(tokens.intersection(self._running)):
            code = self._running[token]
            match token % 3:
                case 0 if code.outcome is not None and code.until > now + 10:
                    code.outcome = failure(token, "CancelledError", "asked to end")
                    code.ends(now + 10)
                case 1 if code.until > now + 40:
                    code.ends(now + 40)
                case _:
                    pass
            self._worker.poke(code.until)
        return back

    def stop(self, tokens: set[int]) -> None:
        self._waiting = deque(task for task in self._waiting if task.token not in tokens)
        for token in [t for t in self._running if t in tokens]:
            del self._running[token]
        self._fill()

    def over(self) -> list[int]:
        """The tokens whose code has ended."""
        now = self._worker.timeline.now
        return self._ended + [t for t, code in self._running.items() if code.until <= now]

    def orphans(self) -> list[Code]:
        """The worker is dead: what its children run, or begin although it is."""
        now = self._worker.timeline.now
        left = self.fatal + [code for code in self._running.values() if code.until > now]
        while self._waiting and len(left) < self.slots:
            left.append(self._worker.begin(self._waiting.popleft()))
        return left

    def next_end(self) -> int | None:
        ends = (c.until for c in self._running.values() if c.until < NEVER)
        return min(ends, default=None)


def _asks(kind: str, task: PushedTask, after: int) -> Outcome:
    """What such code ends with; of tasks that count for limits, some ask for a pause of these."""
    if kind == "resume":
        return Outcome(task.token, False, encode_failure(ResumeAsked()))
    if kind == "retry" and task.token % 2 and (limits := decode_spec(task.spec).limits):
        return limit_reached(task.token, after, ("", *limits)[task.token // 2 % 2])
    if kind == "retry":
        return Outcome(task.token, False, encode_failure(RetryAsked(after, "Retry", "busy", "")))
    return failure(task.token, "Reject", task.id)._replace(final=True)


class Worker(Process):
    """A place a worker runs at; each process there is another incarnation."""

    def __init__(self, world: "World", name: str, clock: Clock, slots: int) -> None:
        super().__init__(world.timeline, name, clock)
        self.world = world
        self.slots = slots
        self.queues: tuple[str, ...] = ("default", "bulk")
        self.incarnation = b""
        self.lacks: tuple[str, ...] = ()  # names of tasks that its code does not have
        self.deadly = False  # a process dies under each of its tasks
        self.agent: Agent | None = None
        self.disturbed_at = 0
        self._dealers: dict[str, Dealer] = {}
        self._clear()

    def _clear(self) -> None:
        self._frames: list[tuple[str, bytes]] = []
        self._links: list[tuple[str, bool]] = []

    # ---- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        if self.alive:
            return
        rng = Random(self.timeline.rng.getrandbits(64))
        self.incarnation = rng.getrandbits(128).to_bytes(16, "big")
        self.timeline.note("start", self.host)
        self._draw_code()
        identity = Identity(self.host, self.incarnation, self.host, 1, self.queues)
        self.identity = identity
        self.agent = Agent(identity, list(self.world.cluster.values()), self.slots, self.mono, rng)
        self.agent.sample(Load(rng.random(), rng.random(), 0.5))
        self._pool = Pool(self, self.slots)
        self._courier = Courier(self.agent.session)
        self._dealers = {
            address: Dealer(self.world.network, self, name, tells=True)
            for name, address in self.world.cluster.items()
        }
        self.disturbed_at = self.timeline.now
        self.born()

    def _draw_code(self) -> None:
        """What is wrong with the code that this process begins with; in peace nothing deadly."""
        third, shape = self.timeline.third, self.world.shape
        stranger, deadly = third.random() < shape.strangers, third.random() < shape.killers
        self.lacks = tuple(name for name in NAMES if stranger and third.random() < 0.4)
        self.deadly = deadly and self.timeline.now < shape.peace_at
        self.world.queue.executions.codes[self.incarnation] = self.queues, self.lacks

    def stop(self, how: str, *, silently: bool = False) -> None:
        if not self.alive:
            return
        self.timeline.note(how, self.host)
        self.died()
        for dealer in self._dealers.values():
            dealer.close()
        self.world.network.vanish(self.host, silently=silently)
        if how.startswith("killed") and not silently:
            self.world.fork_servers.outlives(self.identity, self._pool)
        self.agent = None
        self._clear()

    def drain(self) -> None:
        if self.agent is not None:
            self.timeline.note("drain", self.host)
            self.agent.drain(self.mono)
            self.poke()
            self.timeline.after(GRACE, self._grace_over, self.incarnation)

    def _grace_over(self, incarnation: bytes) -> None:
        """What is left waits for others, which may wait for a worker that takes them."""
        if not self.alive or self.incarnation != incarnation or not self._pool.waiting():
            return
        if self.world.peaceful and any(each.takes for each in self.world.workers):
            return  # they will; and nobody is stopped in peace
        self.halt()

    @property
    def takes(self) -> bool:
        """Whether it takes new tasks."""
        return self.agent is not None and not self.agent.draining

    def waits_for(self, task: str) -> bool:
        """Whether its code waits for this task."""
        return any(code.awaits == task for code in self._pool.codes())

    def codes(self) -> list[Code]:
        return self._pool.codes()

    def halt(self) -> None:
        """The second signal: stop at once."""
        if self.agent is not None:
            self._send(self.agent.halt(self.mono))
            self.stop("halt")
            self.world.later(self.start)

    # ---- the loop -------------------------------------------------------------------------------

    def turn(self) -> int | None:
        agent, pool, now = self.agent, self._pool, self.mono
        assert agent is not None
        links, frames = self._links, self._frames
        self._clear()
        for address, up in links:
            (agent.link_made if up else agent.link_lost)(address, now)
        for address, frame in frames:
            agent.receive(address, from_broker.decode(frame), now)
        ends = pool.collect()
        courier = self._courier
        courier.asked(pool.notes.asked(), now)
        courier.forget([end.outcome.token for end in ends])
        pool.notes.forget([end.outcome.token for end in ends])
        agent.ended(ends, now)
        agent.waiting(pool.waiting(), now)
        if pool.fatal:
            self.stop("killed by its task", silently=self.timeline.chance(0.1))
            self.world.later(self.start)
            return None
        if now >= agent.look_at:
            agent.look(pool.running(), pool.slots, now)
        self._perform(agent, agent.turn(now))
        self._carry_notes(agent)
        if agent.finished:
            self.stop("drained")
            self.world.later(self.start)
            return None
        end = pool.next_end()
        wake_at = agent.wake_at
        return wake_at if end is None else min(wake_at, self.clock.monotonic(end))

    def _carry_notes(self, agent: Agent) -> None:
        """As the real worker's loop does."""
        courier, notes, now = self._courier, self._pool.notes, self.mono
        courier.answered(agent.verdicts, notes)
        if now >= courier.look_at:
            courier.said([said for said in notes.said() if agent.holds(said.token)], now)
        for note in courier.turn(now):
            assert agent.session.leader is not None
            self._dealers[agent.session.leader].send(to_broker.encode(note))

    def _perform(self, agent: Agent, turn: Turn) -> None:
        self._pool.start(turn.start)
        self._pool.stop(turn.stop)
        self._pool.end_waits(turn.hopeless)
        self._courier.forget(turn.stop, self._pool.notes)
        self._send(turn)
        if turn.cancel:
            agent.unstarted(self._pool.cancel(turn.cancel))
        if turn.withdraw:
            agent.withdrawn(self._pool.withdraw())
        if turn.withdraw or turn.cancel:
            self._perform(agent, agent.turn(self.mono))

    def _send(self, turn: Turn) -> None:
        for address, message in turn.send:
            self._dealers[address].send(to_broker.encode(message))

    # ---- code -----------------------------------------------------------------------------------

    def begin(self, task: PushedTask) -> Code:
        """The code of a task begins: what it will do is decided by its payload and its token."""
        now = self.timeline.now
        name = decode_spec(task.spec).name
        if name in self.lacks:
            words = f"{self.host} does not know {name}"
            unknown = failure(task.token, "UnknownTask", words, unknown=True)
            return Code(task, now, now, unknown)
        self.world.queue.executions.began(task.token, task.id, self.incarnation, now)
        self.world.queue.keys.began(task.id, task.payload)
        if self.deadly:
            return Code(task, now, now + 5, lost(task.token, Loss(exit=1)))
        if name == NODE:
            return self._node(task, now)
        kind, length, count = cast("tuple[str, int, int]", unpack(task.payload))
        outcome: Outcome | None = Outcome(task.token, True, pack([task.id, task.token]))
        if kind == "tree" and (awaited := self.world.waits.awaited(task, count)) is not None:
            waits = self.world.waits
            return Code(task, now, NEVER, outcome, awaits=awaited, turn=waits.turn())
        if kind == "tree":
            outcome = self.world.waits.limited(task) or outcome
        number = 0
        self._pool.notes.say(task.token, 0.5, name)
        if kind == "leave":
            left, number = self._leaves(task)
            if left <= count:
                outcome = failure(task.token, "ValueError", f"attempt {task.attempt} of {task.id}")
        elif kind in _ASKS and (before := self.world.failures.get(task.id, 0)) <= count:
            self.world.failures[task.id] = before + 1
            if before < count:
                outcome = _asks(kind, task, 40 * length)
            else:  # what it asked for before counts for nothing, or as so many failures
                outcome = failure(task.token, "ValueError", f"attempt {task.attempt} of {task.id}")
        elif kind == "fail" and self.world.failures.get(task.id, 0) < count:
            self.world.failures[task.id] = self.world.failures.get(task.id, 0) + 1
            outcome = failure(task.token, "ValueError", f"attempt {task.attempt} of {task.id}")
        elif kind == "kill" and not self.world.spared(task.id, count):
            outcome = None
        return Code(task, now, now + length, outcome, number)

    def _node(self, task: PushedTask, now: int) -> Code:
        """A task of a flow: it is given the values that it waited for."""
        inputs = task.about.inputs if task.about is not None else []
        called = cast("list[object]", filled(task.payload, dict(inputs)))
        call = called[0] if type(called[0]) is list else called  # of a broadcast, or of one task
        kind, length, times, values = cast("tuple[str, int, int, list[object]]", call)
        self.world.queue.flows.began(task.id, values, self.host)
        before = self.world.failures[task.id] = self.world.failures.get(task.id, 0) + 1
        outcome = Outcome(task.token, True, pack([task.id, task.token]))
        if kind == "fail" and before <= times:
            outcome = failure(task.token, "ValueError", f"attempt {task.attempt} of {task.id}")
        elif kind in GROWS:
            outcome = grown(task, kind, times)
        return Code(task, now, now + length, outcome)

    def _leaves(self, task: PushedTask) -> tuple[int, int]:
        """It leaves one checkpoint more than it found; how many that are, and its number."""
        found = task.about.checkpoint if task.about is not None else None
        left: Left | None = None
        if found is not None:
            left = cast("Left", tuple(cast("list[object]", unpack(found))))
        queue = self.world.queue
        current = queue.tokens[task.token][0].token == task.token
        queue.ends.began(task.token, task.id, left, current=current)
        count = (left[1] if left else 0) + 1
        return count, self._pool.notes.ask(task.token, pack([task.id, count]))

    def end(self, outcome: Outcome) -> None:
        if outcome.unknown:
            self.world.queue.executions.unknown[outcome.token] = outcome.data
        elif outcome.loss is not None:
            self.world.queue.executions.died.add(outcome.token)
            self.timeline.note("process died")
        else:
            if not outcome.returned:
                self.world.queue.ends.ended(outcome)
            data = value_of(outcome)
            self.world.queue.executions.ended(outcome.token, ok=outcome.returned, data=data)

    # ---- sockets --------------------------------------------------------------------------------

    def dealer_frame(self, target: str, frame: bytes) -> None:
        self._frames.append((CLUSTER[target], frame))
        self.poke()

    def dealer_link(self, target: str, *, up: bool) -> None:
        self.disturbed_at = self.timeline.now
        self._links.append((CLUSTER[target], up))
        self.poke()
