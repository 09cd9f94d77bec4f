"""What clients want done: kinds of task, batches, and what is said of them twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, cast
from zlib import crc32

from raftwork.features.task_batch import NO_EXTRAS
from raftwork.messages import Extras, Spec, encode_spec
from raftwork.wire import pack, unpack

#: The names of all tasks.
NAMES = ("fatal", "flaky", "limited", "once", "brief", "long", "ok")
#: How the code of a flaky task ends so many times.
_ENDS = ("fail", "retry", "resume", "reject", "leave", "fail")
#: (kind of code, how long it runs in ms, how often it fails or kills)
Code = tuple[str, int, int]


#: Id, payload, and of tasks that are not ordinary ones key and extras.
Row = tuple[str, bytes] | tuple[str, bytes, str, Extras]


class Batch(NamedTuple):
    """One enqueue, as a client sends it and sends it again."""

    spec: bytes
    tasks: bytes
    ids: tuple[str, ...]
    #: Of each id: the CRC over spec and payload, by which the cluster tells contents apart.
    contents: tuple[int, ...]

    @property
    def special(self) -> bool:
        """Whether its tasks have more than an id and a payload."""
        return len(cast("list[list[object]]", unpack(self.tasks))[0]) > 2


def make_batch(
    spec: Spec, codes: dict[str, Code], key: str = "", extras: Extras = NO_EXTRAS
) -> Batch:
    if not key and extras == NO_EXTRAS:
        return _batch(encode_spec(spec), [(task, pack(code)) for task, code in codes.items()])
    rows = [(task, pack(code), key, extras) for task, code in codes.items()]
    return _batch(encode_spec(spec), rows)


def _batch(spec: bytes, tasks: Sequence[Row]) -> Batch:
    start = crc32(spec)
    contents = tuple(contents_of(start, row) for row in tasks)
    return Batch(spec, pack(tasks), tuple(task for task, *_ in tasks), contents)


def contents_of(start: int, row: Sequence[object]) -> int:
    """The CRC by which the cluster tells a task from others; `start` is that of its Spec."""
    payload, key, extras = cast("tuple[bytes, str, Sequence[object]]", (*row[1:], "", ())[:3])
    more = b"" if not any(extras) else pack(extras)
    return crc32(more, crc32(key.encode(), crc32(payload, start)))


def draw(rng: Random, fatal: float) -> tuple[Spec, Code]:
    """A kind of task; `fatal` is the share of those that kill their worker."""
    queue = rng.choice(("default", "default", "default", "bulk", "rare"))
    if rng.random() < fatal:
        once = rng.random() < 0.3
        spec = Spec("fatal", queue, at_most_once=once, max_losses=rng.randint(1, 4))
        return spec, ("kill", 20, rng.randint(1, 5))
    match rng.randrange(10):
        case 0 | 1:
            retries, backoff = rng.randint(0, 3), rng.choice((1, 60, 300))
            spec = Spec("flaky", queue, retries=retries, backoff=backoff, max_backoff=400)
            length, count = rng.randint(1, 40), rng.randint(1, 4)
            return spec, (_ENDS[length % len(_ENDS)], length, count)
        case 2:
            spec = Spec("limited", queue, timeout=200, retries=rng.randint(0, 1), backoff=50)
            return spec, ("ok", rng.choice((20, 150, 600)), 0)
        case 3 | 4:
            kind = rng.choice(("ok", "ok", "fail"))
            return Spec("once", queue, at_most_once=True), (kind, rng.choice((2, 30, 400)), 1)
        case 5:
            return Spec("brief", queue, result_ttl=rng.choice((1, 500))), ("ok", 5, 0)
        case 6:
            return Spec("long", queue), ("ok", rng.choice((500, 1_500, 4_500)), 0)
        case _:
            return Spec("ok", queue), ("ok", rng.choice((0, 1, 5, 30)), 0)


@dataclass
class Book:
    """Every batch any client ever made: what can be asked about, repeated and contradicted."""

    rng: Random
    fatal: float
    #: What makes some batches other than ordinary.
    change: Callable[[Spec], tuple[Spec, str, Extras]] | None = None
    batches: list[Batch] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def fresh(self) -> Batch:
        """New tasks."""
        rng = self.rng
        spec, code = draw(rng, self.fatal)
        count = 1 if code[0] == "kill" or code[1] > 1_000 else rng.choice((1, 1, 2, 5, 12))
        codes = {f"t{len(self.ids) + i}": code for i in range(count)}
        batch = make_batch(spec, codes) if self.change is None else self._changed(spec, codes)
        self.batches.append(batch)
        self.ids.extend(codes)
        return batch

    def _changed(self, spec: Spec, codes: dict[str, Code]) -> Batch:
        assert self.change is not None
        spec, key, extras = self.change(spec)
        return make_batch(spec, codes, key, extras)

    def again(self) -> Batch | None:
        """One that was made before, perhaps by another client."""
        return self.rng.choice(self.batches) if self.batches else None

    def overlapping(self, rng: Random) -> Batch | None:
        """Some of an earlier batch's tasks and new ones like them, in any order."""
        several = [batch for batch in self.batches if len(batch.ids) > 1 and not batch.special]
        if not several:
            return None
        old = rng.choice(several)
        tasks = cast("list[tuple[str, bytes]]", unpack(old.tasks))
        (_, payload), *_ = tasks
        new = [(f"t{len(self.ids) + i}", payload) for i in range(rng.randint(1, 3))]
        tasks = rng.sample(tasks, rng.randint(1, len(tasks))) + new
        rng.shuffle(tasks)
        batch = _batch(old.spec, tasks)
        self.batches.append(batch)
        self.ids.extend(task for task, _ in new)
        return batch

    @staticmethod
    def nothing() -> Batch:
        """No task: nothing to do, yet one more entry for the log."""
        return make_batch(Spec("ok", "default"), {})

    def contradiction(self) -> Batch | None:
        """A known id with other contents."""
        if not self.ids:
            return None
        task = self.rng.choice(self.ids)
        length = self.rng.randint(1, 9)
        return make_batch(Spec("other", "default"), {task: ("ok", length, 7)})

    def some_ids(self) -> list[str]:
        """Mostly the newest: of them a broker that was left behind knows nothing."""
        ids = self.ids[-12:] if self.rng.random() < 0.7 else self.ids
        known = self.rng.sample(ids, min(len(ids), self.rng.randint(1, 6)))
        return [*known, "nobody's"] if self.rng.random() < 0.1 else known
