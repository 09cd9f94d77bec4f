"""What runs now, the longest first: for who looks at the whole cluster, or at one worker.

What runs, and for how long, is what workers said at their last heartbeats; only the leader
knows it. It is counted when somebody asks, and costs a leader nothing otherwise.
"""

from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from raftwork.features.progress import Said
from raftwork.messages import decode_spec
from raftwork.messages.bounds import Between, OptionalName
from raftwork.messages.registry import reply, request

if TYPE_CHECKING:
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature, Slices

#: Tasks in one answer.
PAGE_MAX: Final = 1_000
#: Hands that are looked at between two slices: about a millisecond.
_SLICE: Final = 1_000
_SLICE_WORK: Final = 100


class RunningTask(NamedTuple):
    """A task whose code runs, as its worker said last."""

    id: str
    name: str
    queue: str
    worker: str
    attempt: int  # 1 at the first hand-out
    run_ms: int  # for so long by now
    cancelling: bool  # it was asked to end
    waits: bool  # for other tasks; it may hold no slot meanwhile
    progress: Said | None  # by its own word


@reply(240)
class RunningTold(NamedTuple):
    """Answers ListRunning."""

    request: int
    tasks: list[RunningTask]
    running: int  # so many run, of those that were asked for
    held: int  # … and so many are at a worker and have not begun, or only just
    time: int  # leader time at which it was so


@request(240, reply=RunningTold)
class ListRunning(NamedTuple):
    """What runs, the longest first; of a queue, and on a worker of this name, if they are given."""

    request: int
    limit: Annotated[int, Between(1, PAGE_MAX)]
    queue: OptionalName = ""
    worker: OptionalName = ""


def _list(view: "View", asked: ListRunning) -> "Slices":
    inspection, current = view.workers.inspection, view.machine.current
    hands = inspection.hands(asked.worker)
    begun: list[tuple[int, int]] = []  # for how long, and the token
    held = 0
    for at, (token, run_ms) in enumerate(hands, 1):
        run = current(token)
        if run is not None and asked.queue in {"", run.queue}:
            if run_ms is None:
                held += 1
            else:
                begun.append((run_ms, token))
        if at % _SLICE == 0:
            yield _SLICE_WORK
    begun.sort(reverse=True)
    told = [_task(view, token, run_ms) for run_ms, token in begun[: asked.limit]]
    tasks = [task for task in told if task is not None]
    return RunningTold(asked.request, tasks, len(begun), held, view.time)


def _task(view: "View", token: int, run_ms: int) -> RunningTask | None:
    """None if it is over since."""
    inspection = view.workers.inspection
    run, hand = view.machine.current(token), inspection.hand(token)
    if run is None or hand is None:
        return None
    worker, assignment = hand
    return RunningTask(
        *(run.id, decode_spec(run.spec).name, run.queue, worker, run.attempt, run_ms),
        *(assignment.cancelling, assignment.wait is not None, inspection.progress(run.id)),
    )


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, read_by_slices

    return Feature(
        "what runs",
        rules=[read_by_slices(ListRunning, _list)],
        budget=Budget(requests=100, bytes=1024 * 1024),
    )
