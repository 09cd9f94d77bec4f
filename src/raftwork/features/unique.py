"""Unique tasks: `unique`, `until`, `period`, `on_conflict`, `debounce` and `max_wait`.

They enter by a request of their own, as its answer says more: which of its tasks were there
already, and as which ids. What becomes of them is in unique_keys.py.
"""

from typing import TYPE_CHECKING, NamedTuple

from raftwork.durations import ms_in_words
from raftwork.errors import ProtocolError
from raftwork.features import unique_keys
from raftwork.features.effects import Done
from raftwork.features.enqueue import accept
from raftwork.features.task_batch import count_batch, read_spec, read_tasks, rows_of
from raftwork.features.task_row import UNIQUE
from raftwork.features.why_it_waits import Reason
from raftwork.messages import OnConflict, Spec, decode_spec
from raftwork.messages.registry import reply, request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from raftwork.broker.machine.state import Ledger, Running
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Deferred, Feature
    from raftwork.features.task_batch import Columns
    from raftwork.features.why_it_waits import WaitingTask


@reply(115)
class EnqueuedUnique(NamedTuple):
    """All tasks of the request are on a majority's disks, or others that were there.

    `existing` has the index of each such task, and the id of the other one. With
    `OnConflict.RAISE` none of the batch has entered if it has any.
    """

    request: int
    existing: list[tuple[int, str]]


@request(115, reply=EnqueuedUnique)
class EnqueueUnique(NamedTuple):
    """As Enqueue, of tasks with unique keys."""

    request: int
    created: int
    spec: bytes
    tasks: bytes


def _check_options(spec: Spec, tasks: "Columns") -> None:
    """Raise ProtocolError for options that contradict each other, as clients do."""
    if spec.debounce and not spec.debounce <= spec.max_wait:
        raise ProtocolError(
            f"max_wait must be at least debounce, got {ms_in_words(spec.max_wait)} and"
            f" {ms_in_words(spec.debounce)}"
        )
    if spec.debounce and spec.on_conflict not in (OnConflict.RETURN, OnConflict.REPLACE):
        raise ProtocolError("debounce replaces: it goes with no other on_conflict")
    if not all(extras.unique for extras in tasks.extras) or len(tasks.extras) < len(tasks.ids):
        raise ProtocolError("each task of such a batch needs a unique key")


def _check(view: "View", request: EnqueueUnique) -> "Deferred | Done":
    change, spec, tasks = accept(view, request)
    _check_options(spec, tasks)
    return change


def _answer(view: "View", request: EnqueueUnique, done: Done) -> EnqueuedUnique:
    existing = done.existing
    if not existing:  # all of it is stored, or new
        existing = _merged(view.state, request)
    return EnqueuedUnique(request.request, list(existing))


def _merged(ledger: "Ledger", request: EnqueueUnique) -> "Sequence[tuple[int, str]]":
    read_spec(request.spec, ledger.settings)
    rows = rows_of(request.spec, read_tasks(request.tasks, ledger.settings), ledger.level)
    return unique_keys.answer(ledger, rows, [])


def _begins(ledger: "Ledger", run: "Running") -> None:
    unique_keys.begins(ledger, run, decode_spec(run.spec))


def _follows(view: "View", task: "WaitingTask") -> Reason | None:
    key = unique_keys.before(view.state, task.seq) if task.flags & UNIQUE else None
    if key is None:
        return None
    return Reason("unique", f"{key.id} has the unique key {key.key} of {key.name}, and goes first")


def _holds(ledger: "Ledger", seq: int) -> "Iterator[Sequence[int]]":
    """The task that has the key which this one is to have next."""
    key = unique_keys.before(ledger, seq)
    if key is not None and key.held:
        yield (key.owner,)


def _grows(_view: "View", request: EnqueueUnique) -> int:
    return count_batch(request.tasks)


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, change
    from raftwork.features.lifecycle import Lifecycle, TimerKind

    return Feature(
        "unique tasks",
        rules=[change(EnqueueUnique, _check, _answer, grows=_grows)],
        budget=Budget(requests=100_000, bytes=64 * 1024 * 1024),
        lifecycles=[
            Lifecycle(
                *(UNIQUE, unique_keys.enters, unique_keys.ended, unique_keys.settled),
                begins=_begins,
            )
        ],
        timers=[TimerKind(unique_keys.PERIOD, unique_keys.fire)],
        reasons=[_follows],
        holds=_holds,
    )
