"""What must be true of batches: all of one comes in, or nothing does, and once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from zlib import crc32

from raftwork.consensus.core import Position
from raftwork.features.effects import Effect, EnqueuedAndAssigned, Queued, Rejected, Reply
from raftwork.features.enqueue import Admit
from raftwork.features.task_batch import NO_EXTRAS, is_ordinary
from raftwork.features.task_row import LANED
from raftwork.messages import Code, Extras, decode_spec
from raftwork.wire import unpack
from tests.sim.system.known import Known
from tests.sim.system.promises import require
from tests.sim.system.workload import Batch, contents_of, tags_of

if TYPE_CHECKING:
    from tests.sim.system.queue_checker import QueueChecker


class Entering(NamedTuple):
    """A batch that is to come in."""

    queue: str
    #: Its tasks that are not known yet, with the sizes of their payloads.
    new: dict[str, int]
    #: Whether it names one that is known, with the same contents or with others.
    repeats: bool
    contradicts: bool

    @property
    def weight(self) -> tuple[int, int]:
        return len(self.new), sum(self.new.values())


class EnqueueRules:
    """What a batch does is decided by what is there and what there is room for, alone."""

    def __init__(self, queue: "QueueChecker") -> None:
        self._queue = queue
        #: Ids that were sent in one request only, which was refused.
        self.refused: set[str] = set()

    def entering(self, spec: bytes, packed: bytes) -> Entering:
        """What this batch would bring in now."""
        start, new, contradicts = crc32(spec), dict[str, int](), False
        contents: dict[str, int] = {}  # two calls that travel together may contradict each other
        tasks = cast("list[tuple[str, bytes, str]]", unpack(packed))
        for row in tasks:
            task, payload = row[:2]
            known, mine = self._queue.tasks.get(task), contents_of(start, row)
            if known is None:
                new[task] = len(payload)
                contradicts |= contents.setdefault(task, mine) != mine
            elif known.contents != mine:
                contradicts = True
        return Entering(decode_spec(spec).queue, new, len(new) < len(tasks), contradicts)

    def weight_before(self, moment: int, batch: Batch) -> tuple[int, int, int]:
        """How many of its tasks were new at that moment, their bytes, and until when all were."""
        new = dict[str, int]()
        until = self._queue.rooms.timeline.now
        for id_, payload, *_ in cast("list[tuple[str, bytes]]", unpack(batch.tasks)):
            known = self._queue.tasks.get(id_)
            if known is None or known.entered_at > moment:
                new[id_] = len(payload)
            if known is not None and known.entered_at > moment:
                until = min(until, known.entered_at)
        return len(new), sum(new.values()), until

    def weight(self, spec: bytes, packed: bytes) -> tuple[str, int, int]:
        """The queue a batch is for, how many of its tasks are new, and their bytes."""
        batch = self.entering(spec, packed)
        return (batch.queue, *batch.weight)

    def admits(self, command: Admit, reply: Reply, effects: Sequence[Effect]) -> None:
        if _keyed(command):
            self._queue.keys.admitted(command, reply)
        else:
            self._enqueues(command, reply, effects)

    def _enqueues(self, command: Admit, reply: Reply, effects: Sequence[Effect]) -> None:
        """All that is new comes in, or nothing does, and nothing else decides which."""
        batch = self.entering(command.spec, command.tasks)
        room, (tasks, size) = self._queue.rooms.of(batch.queue), batch.weight
        lack = room.lack(tasks, size) if tasks else ""
        due = Code.PROTOCOL if batch.contradicts else Code.QUEUE_FULL if lack else None
        given = reply.code if isinstance(reply, Rejected) else None
        require(
            given is due,
            "limits",
            lambda: f"{tasks} tasks of {size} bytes to {room}: {reply}, not {due}",
        )
        came_in = [task for effect in effects for task in _came_in(effect)]
        if due is None and self._is_special(command):
            came_in = self._specials(command, batch)
        require(
            came_in == (list(batch.new) if due is None else []),
            "all or none",
            lambda: f"of {list(batch.new)} came in: {came_in}, and the answer is {reply}",
        )
        reached = self._queue.reached
        reached["contradiction refused"] += batch.contradicts
        reached["duplicate enqueue suppressed"] += batch.repeats
        reached["batch known in part"] += batch.repeats and bool(tasks)
        reached["repeated batch acknowledged by a full queue"] += not tasks and room.full
        if due is Code.QUEUE_FULL:
            reached[f"enqueue refused for a queue's {lack}"] += 1

    @staticmethod
    def _is_special(command: Admit) -> bool:
        rows = cast("list[list[object]]", unpack(command.tasks))
        return not is_ordinary(decode_spec(command.spec)) or any(len(row) > 2 for row in rows)

    def _specials(self, command: Admit, batch: Entering) -> list[str]:
        """No effect names what is not ordinary as it comes in: the tables tell its numbers."""
        queue = self._queue
        start, spec = crc32(command.spec), decode_spec(command.spec)
        came_in = []
        for row in cast("list[tuple[Any, ...]]", unpack(command.tasks)):
            if row[0] not in batch.new or row[0] in queue.tasks:
                continue
            asked = "SELECT seq, flags FROM task WHERE id = ?"
            found = queue._machine.state.db.execute(asked, (row[0],)).fetchone()
            if found is None:
                continue
            seq, flags = found
            known = Known(seq, row[0], spec, contents_of(start, row), len(row[1]))
            known.entered_at = queue.rooms.timeline.now
            known.key, known.tags = "".join(row[2:3]), tags_of(row)
            queue.enters(known)
            if flags & LANED:
                queue.special.add(seq)
            queue.rooms.move(spec.queue, 1, known.size)
            queue.lanes.entered(seq, known)
            extras = Extras(*row[3]) if len(row) > 3 else NO_EXTRAS
            created = min(command.created, queue.time)
            queue.timers.entered(seq, known, created, extras.at)
            queue.limits.entered(seq, spec, known.key, extras.tenant)
            came_in.append(known.id)
        return came_in

    def refuses_early(self, at: Position, spec: bytes, packed: bytes) -> None:
        """A leader that has applied everything up to `at` finds a queue too full for a batch."""
        queue = self._queue
        queue.reached["enqueue refused early by the leader"] += 1
        if at < queue.rooms.newest:
            return  # what it knows is what was
        batch = self.entering(spec, packed)
        tasks, size = batch.weight
        room = queue.rooms.of(batch.queue)
        require(
            bool(tasks and room.lack(tasks, size)),
            "limits",
            lambda: f"{tasks} tasks of {size} bytes are refused early by {room}",
        )


def _keyed(command: Admit) -> bool:
    """Whether its tasks have unique keys."""
    rows = cast("list[list[object]]", unpack(command.tasks))
    return any(len(row) > 3 and cast("list[str]", row[3])[0] for row in rows)


def _came_in(effect: Effect) -> list[str]:
    match effect:
        case Queued():
            return [task for task, _ in effect.tasks]
        case EnqueuedAndAssigned():
            return [task for _, _, task, _ in effect.tasks]
        case _:
            return []
