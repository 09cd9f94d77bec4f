"""Tasks with unique keys, in some worlds: whoever wants them, and what must be true of them.

The model knows the rules of docs/howto-unique.md, and of the machine only its commands and answers.
What is drawn comes from a stream of its own.
"""

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, cast

from raftwork.errors import ProtocolError, RaftworkError
from raftwork.features.effects import Done, Reply
from raftwork.features.enqueue import Admit
from raftwork.features.free_key import EndPeriod, FreeKey
from raftwork.features.unique import EnqueuedUnique, EnqueueUnique
from raftwork.messages import Extras, OnConflict, Spec, decode_spec, encode_spec
from raftwork.wire import pack, unpack
from tests.sim.system.known import Known
from tests.sim.system.promises import require

if TYPE_CHECKING:
    from tests.sim.system.queue_checker import QueueChecker
    from tests.sim.system.world import World

#: The share of worlds with such tasks, and how far they are apart there, ms.
_SHARE, _EVERY = 0.5, 120
QUEUES = ("keyed", "keyed too")
_KEYS = ("k1", "k2", "k3")
#: How often a period is ended, too, and the connection that asks for it.
_FREES, _NOBODY = 0.2, b"frees keys"


#: A key, with the queue that it is for.
_Key = tuple[str, str]


class Keys:
    """What is known of every key, from the commands alone."""

    def __init__(self, queue: "QueueChecker") -> None:
        self._queue = queue
        self._tasks: dict[_Key, list[Known]] = {}
        self._until: dict[_Key, int] = {}
        self._last: dict[_Key, str] = {}
        self._key_of: dict[str, _Key] = {}
        self._settled: list[Known] = []
        #: Ids that became part of others, with those.
        self.merged: dict[str, str] = {}
        #: By id: what was ever answered.
        self.answers: dict[str, set[str]] = {}
        #: Numbers of the tasks that have not been waiting yet, of those with debounce when the
        #: wait must end.
        self.unqueued: set[int] = set()
        self._ends: dict[int, int] = {}
        self._time = 0

    def passed(self, time: int) -> None:
        """An entry is applied: its time stands, and what has become due by then is awake."""
        self._time = max(self._time, time)

    def awake(self) -> None:
        """Time has done its work."""
        for seq, end in self._ends.items():
            known = self._queue.by_seq[seq]
            late = seq in self.unqueued and end <= self._time
            require(not late, "debounce without an end", f"{known.id} waits beyond {end}")

    def requeued(self, seq: int) -> None:
        """It waits, or never will."""
        self.unqueued.discard(seq)
        self._ends.pop(seq, None)

    # ---- what an enqueue does -------------------------------------------------------------------

    def admitted(self, command: Admit, reply: Reply) -> None:
        """Each of its tasks enters, or is another one: exactly as the keys stand."""
        spec = decode_spec(command.spec)
        rows = cast("list[tuple[str, bytes, str, list[str]]]", unpack(command.tasks))
        require(isinstance(reply, Done), "unique", f"{rows} are refused: {reply}")
        assert isinstance(reply, Done)
        told = dict(reply.existing)
        for at, existing in told.items():
            self.answers.setdefault(rows[at][0], set()).add(existing)
        new = [row for row in rows if row[0] not in self._queue.tasks]
        if spec.on_conflict is OnConflict.RAISE and self._raises(spec.queue, new, told):
            return
        for at, (id_, payload, _, (name, *_)) in enumerate(rows):
            key = (spec.queue, name)
            other = told.get(at)
            if id_ in self._queue.tasks or id_ in self.merged:
                text = f"{id_} is asked for again, and told {other}, not {self.merged.get(id_)}"
                require(other == self.merged.get(id_), "unique: asked again", text)
                self._queue.reached["unique: asked again"] += 1
                continue
            self._one(spec, command, id_, payload, key, other)

    def _raises(
        self, queue: str, new: "list[tuple[str, bytes, str, list[str]]]", told: dict[int, str]
    ) -> bool:
        """Whether the batch is refused as it ought to be: it changes nothing then."""
        first: dict[_Key, str] = {}
        met: list[str] = []
        for id_, _, _, (name, *_) in new:
            key = (queue, name)
            there = [task.id for task in self._tasks.get(key, []) if _holds(task)]
            if not there and self._until.get(key, 0) > self._time:
                there = [self._last[key]]
            there = there or ([first[key]] if key in first else [])
            met += there[:1]
            first.setdefault(key, id_)
        text = f"{new} meet {met}, and are told {told}"
        kept = len(told) > len(met)
        name = "key kept after the outcome" if kept else "two unfinished of a unique key"
        require(list(told.values()) == met, name, text)
        self._queue.reached["unique: raised"] += bool(met)
        return bool(met)

    def _one(
        self,
        spec: Spec,
        command: Admit,
        id_: str,
        payload: bytes,
        key: _Key,
        other: str | None,
    ) -> None:
        reached = self._queue.reached
        there = [task for task in self._tasks.get(key, []) if _holds(task)]
        replaces = spec.on_conflict is OnConflict.REPLACE or spec.debounce > 0
        drops = not replaces and spec.on_conflict is not OnConflict.RERUN
        in_period = not there and self._until.get(key, 0) > self._time
        if not there and (not in_period or not drops):
            text = f"{id_} is told to be {other}, but nothing has {key}"
            require(other is None, "key kept after the outcome", text)
            reached["unique: entered"] += 1
            reached["unique: waits for a period"] += in_period
            self._enter(spec, command, id_, payload, key, follows=False)
            return
        if drops:
            due = there[0].id if there else self._last[key]
        elif len(there) > 1:
            due = there[1].id
        elif not there[0].begun and there[0].token is None:
            due = there[0].id
            reached["unique: back unstarted"] += replaces and there[0].attempts > 0
        else:
            text = f"{id_} follows {there[0].id}, and is told to be {other}"
            require(other is None, "unique", text)
            reached["unique: follows"] += 1
            self._enter(spec, command, id_, payload, key, follows=True)
            return
        text = f"{id_} is told to be {other}, not {due}"
        require(other == due, "two unfinished of a unique key", text)
        reached["unique: in its period"] += in_period
        if replaces:
            self._replaces(id_, due, payload)
        else:
            reached["unique: existing"] += 1

    def _enter(
        self, spec: Spec, command: Admit, id_: str, payload: bytes, key: _Key, *, follows: bool
    ) -> None:
        queue = self._queue
        seq = queue.number_of(id_)
        require(seq > 0, "unique", f"{id_} did not come in")
        known = Known(seq, id_, spec, 0, len(payload))
        queue.enters(known)
        queue.rooms.move(spec.queue, 1, known.size)
        self._tasks.setdefault(key, []).append(known)
        self._key_of[id_] = key
        self.unqueued.add(seq)
        if not follows:
            created = min(command.created, self._time)
            until = self._until.get(key, 0)
            begins = max(created, until if until > self._time else 0)  # else the key is free
            if spec.debounce and begins == created:
                self._ends[seq] = created + spec.max_wait
            self._until[key] = begins + spec.period if spec.period else 0
            self._last[key] = id_

    def _replaces(self, id_: str, other: str, payload: bytes) -> None:
        queue = self._queue
        known = queue.tasks[other]
        queue.rooms.move(known.spec.queue, 0, len(payload) - known.size)
        known.size = len(payload)
        known.arguments = payload
        self.merged[id_] = other
        queue.reached["unique: replaced"] += 1

    def freed(self, command: EndPeriod, reply: Reply) -> None:
        """Its period is over; a task that has it keeps it."""
        key = (command.queue, command.key)
        there = any(_holds(task) for task in self._tasks.get(key, []))
        freed = not there and self._until.get(key, 0) > self._time
        text = f"{key} is freed: {reply}, but should be: {freed}"
        require(reply == Done(int(freed)), "a key is freed", text)
        self._until[key] = 0
        self._queue.reached["unique: freed"] += freed
        self._queue.reached["unique: kept by its task when it was to be freed"] += there

    def settled(self, known: Known) -> None:
        """A task has its outcome; others may have theirs together with it."""
        self._settled.append(known)

    def hand_on(self) -> None:
        """All that ended together has: who follows one that had the key has it now."""
        for known in self._settled:
            self._hand_on(known)
        self._settled.clear()

    def _hand_on(self, known: Known) -> None:
        key = self._key_of.get(known.id)
        if key is None:
            return
        there = [task for task in self._tasks[key] if task is known or _holds(task)]
        if len(there) < 2 or there[0] is not known or _gave_up(known):
            return  # nobody follows, or it was no owner
        period, until = there[1].spec.period, self._until.get(key, 0)
        self._until[key] = max(self._time, until) + period if period else 0
        self._last[key] = there[1].id

    def began(self, task: str, payload: bytes) -> None:
        """Its code begins, with these arguments."""
        known = self._queue.tasks[task]
        if known.arguments:
            text = f"{known.id} runs with arguments that were replaced"
            require(payload == known.arguments, "replaced arguments", text)

    # ---- what is told ---------------------------------------------------------------------------

    def answered(
        self, request: EnqueueUnique, message: object | None, error: RaftworkError | None
    ) -> None:
        """Of each task it is told whether it is another one; the log said the same."""
        text = f"{request} is answered by {message}, {error!r}"
        require(isinstance(message, EnqueuedUnique) or _below(error), "refusals", text)
        if not isinstance(message, EnqueuedUnique):
            return
        rows = cast("list[tuple[str, bytes]]", unpack(request.tasks))
        told = dict(message.existing)
        raised = decode_spec(request.spec).on_conflict is OnConflict.RAISE and told
        for at, (id_, *_) in enumerate(rows):
            other = told.get(at)
            if other is not None:
                require(other in self.answers.get(id_, ()), "true answers", text)
            elif not raised:
                require(id_ in self._queue.tasks, "durable", text)


def _holds(task: Known) -> bool:
    return task.outcome is None and not _gave_up(task)


def _gave_up(task: Known) -> bool:
    return task.spec.until_started and task.attempts > 0


def _below(error: RaftworkError | None) -> bool:
    return isinstance(error, ProtocolError) and "is at level 1" in str(error)


class Uniques:
    """Whoever wants such tasks, by way of the clients."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = Random(f"unique keys of {world.seed}")
        self.there = self._rng.random() < _SHARE
        self._made = Counter[str]()
        self._before: list[EnqueueUnique] = []
        self._asked = 0
        if self.there:
            for worker in world.workers[:3]:
                worker.queues = (*worker.queues, *QUEUES)

    def begin(self) -> None:
        """From now on until there is peace."""
        if self.there and not self._world.peaceful:
            if self._rng.random() < _FREES:
                self._free()
            self._rng.choice(self._world.users).inquire(self._draw())
            self._world.timeline.after(self._rng.randint(1, 2 * _EVERY), self.begin)

    def _free(self) -> None:
        """Ask whoever leads for it; nobody hears the answer."""
        self._asked += 1
        name = self._rng.choice(QUEUES), "ok", self._rng.choice(_KEYS)
        for broker in self._world.brokers:
            leadership = broker.node._supervisor.leadership if broker.node is not None else None
            if leadership is not None and not broker.paused:
                leadership.request(_NOBODY, FreeKey(self._asked, *name), 8, broker.mono)
                broker.poke()

    def _draw(self) -> EnqueueUnique:
        rng = self._rng
        if self._before and rng.random() < 0.15:
            return rng.choice(self._before[-8:])  # somebody else asks for the same
        spec = Spec(
            "ok", rng.choice(QUEUES), on_conflict=rng.choice(list(OnConflict)), max_losses=100
        )
        match rng.randrange(6):
            case 0:
                spec = spec._replace(until_started=True)
            case 1:
                spec = spec._replace(period=rng.choice((50, 1_500)))
            case 2 | 3:
                spec = spec._replace(debounce=200, max_wait=250, on_conflict=OnConflict.RETURN)
            case _:
                pass
        tasks = []
        for _ in range(rng.choice((1, 1, 1, 3))):
            self._made["tasks"] += 1
            payload = pack(("ok", rng.choice((1, 30, 300)), self._made["tasks"]))
            tasks.append((f"u{self._made['tasks']}", payload, "", Extras(rng.choice(_KEYS))))
        self._before.append(EnqueueUnique(0, 0, encode_spec(spec), pack(tasks)))
        return self._before[-1]
