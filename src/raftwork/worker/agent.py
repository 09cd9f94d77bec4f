"""What a worker tells the leader, and what it does with what the leader tells it. Sans-IO.

Facts go in (frames with the broker's address, the pool's news, load samples); `turn` returns what
to do about them. The rules:

1. A task is in exactly one place: held (given to the pool, or parked before it), or done (its
   outcome kept until the leader acknowledges it). A token that is in one is not taken again.
2. Outcomes are bounded in bytes. Over the bound nothing is started, and no window is offered: the
   leader's acknowledgements set the pace.
3. The time limit counts from the start of the code; at the limit the outcome is decided here, and
   what the code still returns is ignored.
4. Handing back is a promise that the code never began: only what the pool withdrew is released.
"""

from collections.abc import Collection, Sequence
from math import log2
from random import Random

from raftwork.features.cancel import CancelRuns
from raftwork.features.checkpoints import CheckpointAnswered
from raftwork.features.task_log import FollowLogs
from raftwork.messages import (
    HEARTBEAT_MS,
    PAYLOAD_MAX,
    PROTOCOL,
    PROTOCOL_OLDEST,
    Acknowledged,
    Beat,
    Drain,
    EndWaits,
    FromBroker,
    Goodbye,
    Heartbeat,
    Held,
    HelloFirst,
    Holding,
    Hopeless,
    Leader,
    Outcome,
    Ping,
    Push,
    PushedTask,
    Report,
    Started,
    Stop,
    ToBroker,
    Wait,
    WorkerHello,
    WorkerWelcome,
)
from raftwork.worker.agent_turn import Identity as Identity
from raftwork.worker.agent_turn import Load as Load
from raftwork.worker.agent_turn import Turn as Turn
from raftwork.worker.frame_handlers import Handling, handles
from raftwork.worker.leader_session import LeaderSession
from raftwork.worker.pool import Running
from raftwork.worker.prefetch import PrefetchWindow
from raftwork.worker.runner import Ended
from raftwork.worker.time_limits import TimeLimits
from raftwork.worker.told_waits import ToldWaits
from raftwork.worker.unacknowledged_outcomes import Outcomes

#: A heartbeat goes along with a beat of the leader that comes so shortly before it is due, ms.
_EARLY_MS = 150
#: How often the pool is asked what runs while something waits for its start, ms. A task that is
#: over before is never reported as started: its outcome says it.
LOOK_MS = 10
#: Waiting tasks are handed back when no slot has come free for so long, ms.
STUCK_MS = 250
_FOREVER = 2**62


class Agent:
    """One worker. Times are milliseconds on its monotonic clock.

    `slots` are the pool's. Turns report tasks that failed, and with `tell_all` also those that did
    not. The shell calls `turn` after every batch of facts and no later than `wake_at`; `look` (if
    it can) whenever `look_at` has come; and `sample` before a heartbeat is due. Once
    `finished`, all that is left is to send the last turn's frames.
    """

    def __init__(
        self,
        identity: Identity,
        brokers: Sequence[str],
        slots: int,
        now: int,
        rng: Random,
        *,
        tell_all: bool = False,
        limits: TimeLimits | None = None,
    ) -> None:
        self._identity = identity
        self._session = LeaderSession(list(brokers), now, rng)
        self._slots = slots
        self._prefetch = PrefetchWindow()
        self._held: dict[int, PushedTask] = {}
        self._since: dict[int, int] = {}  # held tokens of code known to run
        self._parked: list[PushedTask] = []  # held, not yet given to the pool
        self._limit_at = _FOREVER  # no limit of a running task passes before
        self._done = Outcomes()
        self._started: list[int] = []  # to be reported, as are the released
        self._released: list[int] = []
        self._stop: set[int] = set()
        self._cancelled: set[int] = set()  # of what is held
        self._cancel: set[int] = set()  # of these: the pool is not told yet
        #: Of tasks that wait for others. See `waiting`.
        self.waits = ToldWaits()
        self._hopeless: list[Hopeless] = []
        self._withdraw = False
        self._hand_back = False  # what the withdrawal is for
        self._load = Load()
        self._succeeded = 0
        self._log_times = 0.0  # the sum of log2(ns) of their run times
        self.heartbeat_at = now
        self._progress_at = now  # when a slot was last seen to come free
        self._draining = False
        self._limits = limits or TimeLimits()
        self._ends: list[tuple[PushedTask, Outcome]] = []  # to be told by the next turn
        self._tell_all = tell_all
        self.look_at = _FOREVER
        self.verdicts: list[CheckpointAnswered] = []  # for who asked (task_notes.py), who drains it
        self.follows: list[FollowLogs] = []  # for who tells of logs (log_tails.py), the same
        self.finished = False
        self._handlers = self._make_handlers()

    # ---- facts from brokers ----------------------------------------------------------------------

    def receive(self, source: str, message: FromBroker, now: int) -> None:
        """A frame from the broker at address `source`."""
        self._session.heard(source, now)
        found = self._handlers.get(type(message))
        if found is None:
            return  # it is nothing that a worker asked for
        handle, of_session = found
        if not of_session or self._session.current(source, message):
            handle(source, message, now)

    def _make_handlers(self) -> dict[type[FromBroker], Handling]:
        """What it does with each kind of frame. Those of a session are of the present one."""
        return dict(
            (
                handles(WorkerWelcome, self._welcomed),
                handles(Beat, self._beaten),
                handles(Push, self._pushed),
                handles(Acknowledged, self._acknowledged),
                handles(CheckpointAnswered, lambda _at, told, _now: self.verdicts.append(told)),
                handles(FollowLogs, lambda _at, asked, _now: self.follows.append(asked)),
                handles(Stop, lambda _source, stop, _now: self._drop(stop.tokens)),
                handles(CancelRuns, lambda _source, asked, _now: self._ask_to_end(asked.tokens)),
                handles(EndWaits, lambda _source, end, _now: self._hopeless.extend(end.waits)),
                handles(Drain, lambda _source, _drain, now: self.drain(now)),
                handles(Leader, self._session.announced),
                handles(HelloFirst, lambda source, _first, now: self._session.refused(source, now)),
            )
        )

    def _welcomed(self, source: str, welcome: WorkerWelcome, now: int) -> None:
        if self._session.welcomed(source, welcome.epoch, welcome.session):
            self._opened(welcome.stop, now)

    def _beaten(self, _source: str, beat: Beat, now: int) -> None:
        self._session.beat(beat.pushed, now)
        if now >= self.heartbeat_at - _EARLY_MS:
            self.heartbeat_at = now  # awake anyway, as is the leader

    def _pushed(self, _source: str, push: Push, now: int) -> None:
        self._session.pushed(len(push.tasks))
        self._accept(push.whole() if push.shared else push.tasks, now)

    def _acknowledged(self, _source: str, acknowledged: Acknowledged, _now: int) -> None:
        self._done.forget(acknowledged.tokens)

    def link_lost(self, source: str, now: int) -> None:
        """The connection to that broker closed, or refused a frame."""
        self._session.link_lost(source, now)

    def link_made(self, source: str, now: int) -> None:
        """There is a connection to that broker (again)."""
        self._session.link_made(source, now)

    def _accept(self, tasks: list[PushedTask], now: int) -> None:
        held, done = self._held, self._done.tokens
        new = {t.token: t for t in tasks if t.token not in held and t.token not in done}
        self._prefetch.came([len(task.payload) for task in new.values()])
        room = self._slots + 2 * self._prefetch.most - self._unparked
        for token, task in new.items():
            if self._draining or room <= 0 or len(task.payload) > PAYLOAD_MAX:
                self._released.append(token)
                continue
            room -= 1
            held[token] = task
            self._parked.append(task)
        if self._parked and self.look_at == _FOREVER:
            self.look_at = now + LOOK_MS
            self._progress_at = now

    def _drop(self, tokens: list[int]) -> None:
        """No longer ours, whatever became of them here."""
        self._done.forget(tokens)
        for token in tokens:
            if self._held.pop(token, None) is not None:
                self._since.pop(token, None)
                self._stop.add(token)
        self._parked = [task for task in self._parked if task.token not in self._stop]

    def _ask_to_end(self, tokens: list[int]) -> None:
        """Once each: a coroutine that cleans up must not be cancelled again in a new session."""
        self._cancelled.intersection_update(self._held)
        new = {token for token in tokens if token in self._held} - self._cancelled
        self._cancelled |= new
        self._cancel |= new

    def _opened(self, stop: list[int], now: int) -> None:
        self._drop(stop)
        self._done.renew()
        self.waits.renew()
        self.heartbeat_at = now  # the window and the load belong to the session

    # ---- facts from this machine -----------------------------------------------------------------

    def ended(self, ends: list[Ended], now: int) -> None:
        """The code of these tasks is over."""
        for outcome, elapsed in ends:
            waited = self.waits.over(outcome.token)
            if not (outcome.unknown or waited):  # else it says nothing of how long tasks take
                self._prefetch.ended(elapsed / 1e6)
            # A worker that fails at once must not seem fast, and draw all tasks.
            if outcome.returned and not waited:
                self._succeeded += 1
                self._log_times += log2(max(1, elapsed))
            self._decide(outcome)
        if ends:
            self._progress_at = now
            if len(self._held) == len(self._since):
                self.look_at = _FOREVER  # nothing waits for its start any more

    @property
    def saturated(self) -> bool:
        """Whether it holds more tasks than can run at once."""
        return self._unparked > self._slots

    @property
    def _unparked(self) -> int:
        return len(self._held) - self.waits.parked

    def holds(self, token: int) -> bool:
        """Whether it waits or runs here."""
        return token in self._held

    def spec(self, token: int) -> bytes | None:
        """Of a task that waits or runs here, packed."""
        task = self._held.get(token)
        return None if task is None else task.spec

    @property
    def outcome_bytes(self) -> int:
        """Of outcomes that the leader has not acknowledged."""
        return self._done.size

    @property
    def slots(self) -> int:
        """The number of slots reported to the leader."""
        return self._slots

    @property
    def session(self) -> LeaderSession:
        """The session with the leader. For the log."""
        return self._session

    @property
    def draining(self) -> bool:
        """Whether it takes nothing new any more."""
        return self._draining

    def unfinished(self) -> list[tuple[PushedTask, int | None]]:
        """What it holds, and since when (ms) its code is known to run."""
        return [(task, self._since.get(token)) for token, task in self._held.items()]

    def waiting(self, waits: Collection[Wait], now: int) -> None:
        """The tasks that wait for others, and hold their slots or (parked) do not.

        Call it after `ended`, if there are any or `waits` knows of some.
        """
        if self.waits.see([wait for wait in waits if wait.token in self._held]):
            self.look_at = now  # the leader is to know first that they run

    def look(self, running: list[Running], slots: int, now: int) -> None:
        """What the pool runs, and how many slots it has."""
        if slots != self._slots:
            self._slots = slots
            self._session.reopen(now)  # a hello is what says how many
        for token, since, _ in running:
            if token in self._held and token not in self._since:
                self._since[token] = since
                self._started.append(token)
                if limit := self._limits.of(self._held[token].spec):
                    self._limit_at = min(self._limit_at, since + limit)
        waiting = len(self._held) - len(self._since)
        self.look_at = now + LOOK_MS if waiting else _FOREVER
        busy = len(running) - self.waits.parked
        if waiting and busy >= slots and now - self._progress_at >= STUCK_MS:
            self._prefetch.stuck(now - self._progress_at)
            self._progress_at = now
            self._take_back()
        elif self._prefetch.overfull(waiting, slots):
            self._take_back()

    def withdrawn(self, tasks: list[PushedTask]) -> None:
        """The pool gave these back unstarted, in order."""
        held = [task for task in tasks if task.token in self._held]
        if self._hand_back:
            self._release(held + self._parked)
            self._parked = []
        else:
            self._parked[:0] = held
        self._withdraw = self._hand_back = False

    def unstarted(self, tasks: list[PushedTask]) -> None:
        """The pool was to cancel these and had not begun them."""
        self._release([task for task in tasks if task.token in self._held])

    def sample(self, load: Load) -> None:
        """Report this load from now on."""
        self._load = load

    def drain(self, now: int) -> None:
        """Take nothing new, hand back what waits, finish what runs; then say goodbye."""
        if not self._draining:
            self._draining = True
            self.heartbeat_at = now
            self._take_back()

    def halt(self, now: int) -> Turn:
        """Stop at once. The last turn: outcomes go out once more, the rest is for others."""
        turn = Turn(stop=set(self._held))
        self._held.clear()
        self._since.clear()
        self._parked.clear()
        self._started.clear()
        self._released.clear()
        self._report(turn, now)
        self._leave(turn)
        return turn

    def _decide(self, outcome: Outcome) -> None:
        token = outcome.token
        task = self._held.pop(token, None)
        if task is None:
            return  # stopped, or decided by its time limit
        if self._tell_all or not (outcome.returned or token in self._cancelled):
            self._ends.append((task, outcome))
        self._since.pop(token, None)
        self._done.add(outcome)
        if self._done.full and len(self._held) > len(self._since):
            self._withdraw = True

    def _take_back(self) -> None:
        self._withdraw = self._hand_back = True

    def _release(self, tasks: list[PushedTask]) -> None:
        for task in tasks:
            del self._held[task.token]
            self._released.append(task.token)

    # ---- what to do ------------------------------------------------------------------------------

    @property
    def wake_at(self) -> int:
        """When `turn` is due, at the latest."""
        wake = min(self._session.wake_at, self.look_at, self._limit_at)
        if self._session.open:
            due_at = self._done.due_at
            wake = min(wake, self.heartbeat_at, _FOREVER if due_at is None else due_at)
        return wake

    def turn(self, now: int) -> Turn:
        """Everything that is due."""
        if now >= self._limit_at:
            self._enforce_limits(now)
        turn = Turn()
        if self._cancel:
            turn.cancel = self._to_cancel()
        if self._parked and not self._done.full and not self._hand_back:
            turn.start, self._parked = self._parked, []
        if self._stop:
            turn.stop, self._stop = self._stop, set()
        if self._hopeless:
            turn.hopeless, self._hopeless = self._hopeless, []
        if self._ends:
            turn.ends, self._ends = self._ends, []
        turn.withdraw = self._withdraw
        if asked := self._session.asks(now):
            turn.send += ((broker, Ping()) for broker in asked)
        if self._session.hello(now):
            self._hello(turn, now)
        if self._session.open:
            if now >= self.heartbeat_at:
                self._heartbeat(turn, now)
            self._report(turn, now)
        if self._draining and not self._withdraw and not self._held and not self._done:
            self._leave(turn)
        return turn

    def _to_cancel(self) -> set[int]:
        """Hand back what is parked; the pool sees to the rest."""
        tokens, self._cancel = self._cancel, set()
        self._release([task for task in self._parked if task.token in tokens])
        self._parked = [task for task in self._parked if task.token not in tokens]
        return tokens.intersection(self._held)

    def _enforce_limits(self, now: int) -> None:
        self._limit_at = _FOREVER
        for token, since in list(self._since.items()):
            limit = self._limits.of(self._held[token].spec)
            if limit and now >= since + limit:
                self._stop.add(token)
                self._decide(self._limits.passed(self._held[token]))
                self.look_at = now  # a slot that cannot be freed is a slot less
            elif limit:
                self._limit_at = min(self._limit_at, since + limit)

    def _hello(self, turn: Turn, now: int) -> None:
        me, session = self._identity, self._session
        self._started.clear()  # the hello lists them,
        self._released.clear()  # and not these: they come again, and go back again
        holding = [self._holding(token, now) for token in self._held]
        holding += (Holding(token, Held.DONE, 0) for token in self._done.tokens)
        hello = WorkerHello(
            PROTOCOL,
            me.name,
            me.incarnation,
            session.number,
            me.host,
            me.pid,
            self._slots,
            list(me.queues),
            holding,
            self._draining,
            PROTOCOL_OLDEST,
        )
        self._send(turn, hello)

    def _holding(self, token: int, now: int) -> Holding:
        since = self._since.get(token)
        if since is None:
            return Holding(token, Held.WAITING, 0)
        return Holding(token, Held.RUNNING, max(0, now - since))

    def _heartbeat(self, turn: Turn, now: int) -> None:
        self.heartbeat_at = now + HEARTBEAT_MS
        running = min(self._unparked, self._slots)
        self._send(
            turn,
            Heartbeat(
                self._session.number,
                self._load.cpu,
                self._load.memory,
                self._load.load,
                running,
                self._room(),
                self._draining,
                self._load.own,
                self._succeeded,
                self._log_times,
                self._load.place,
            ),
        )

    def _report(self, turn: Turn, now: int) -> None:
        """One Report of whatever happened; further ones only where outcomes outgrow a frame."""
        due = self._done.due_at
        news = self._started or self._released or self.waits.news
        nothing = not news and (due is None or now < due)
        if nothing or not self._session.open:
            return
        since = self._since
        started = [Started(t, max(0, now - since[t])) for t in self._started if t in since]
        released = self._released
        self._started, self._released = [], []
        waits = self.waits.take()
        batches = self._done.due(now)
        if (started or released or waits) and not batches:
            batches = [[]]
        for outcomes in batches:
            number, window = self._session.number, self._room()
            self._send(turn, Report(number, started, outcomes, released, window, waits))
            started, released, waits = [], [], []

    def _room(self) -> int:
        return 0 if self._done.full or self._draining else self._prefetch.size(self._slots)

    def _leave(self, turn: Turn) -> None:
        if self._session.leader is not None:
            self._send(turn, Goodbye(self._session.number))
        self.finished = True

    def _send(self, turn: Turn, message: ToBroker) -> None:
        assert self._session.leader is not None
        turn.send.append((self._session.leader, message))
