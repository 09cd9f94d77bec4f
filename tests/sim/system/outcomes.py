"""What must be true of outcomes: what code came to, once, and told as it was committed."""

from typing import TYPE_CHECKING

from raftwork.features.effects import Settled
from raftwork.messages import Result, State, decode_failure
from tests.sim.system.known import Known
from tests.sim.system.promises import require

if TYPE_CHECKING:
    from tests.sim.system.queue_checker import QueueChecker


class OutcomeRules:
    """Compares what was committed with what workers computed, and with what clients read."""

    def __init__(self, queue: "QueueChecker") -> None:
        self._queue = queue

    def committed(self, effect: Settled, task: Known) -> None:
        """That of a task which ran."""
        require(task.outcome is None, "first outcome", f"{task.id} has a second outcome")
        queue, code = self._queue, self._queue.executions
        run = code.runs.get(effect.token)
        queue.cancels.settled(task, effect)
        if effect.state is State.SUCCEEDED:
            mine = run is not None and run.ok is True and run.data == effect.data
            text = f"{task.id} succeeded under {effect.token} with what its worker never computed"
            require(mine, "true results", text)
        elif queue.timers.ends_by_time(effect, ran=run is not None):
            pass
        elif effect.state is State.FAILED and not self._timed_out(effect, task):
            mine = run is not None and run.ok is False and _same(run.data, effect.data)
            mine = mine or code.unknown.get(effect.token) == effect.data
            queue.reached["a task that nobody knew"] += effect.token in code.unknown
            require(mine, "true results", f"{task.id} failed under {effect.token}, not in its code")
            if not task.spec.at_most_once and effect.token not in code.unknown:
                queue.ends.failed(effect.token, task.id, task.spec.retries - task.failures)
        if effect.state is State.LOST:
            text = f"{task.id} is lost after {task.losses} losses"
            require(task.losses == task.losses_allowed, "quarantine", text)
            queue.reached["quarantined"] += task.losses > 1

    def _timed_out(self, effect: Settled, task: Known) -> bool:
        late = decode_failure(effect.data).type == "TimeLimitExceeded"
        # By its worker's word it began: what it had no code for may have come to a report that was
        # under way for longer than the limit.
        code = self._queue.executions
        began = effect.token in code.runs or effect.token in code.unknown
        return task.spec.timeout > 0 and late and began

    def told(self, result: Result, *, with_data: bool) -> None:
        """A client read an outcome (an answer has no data): it is the committed one."""
        task = self._queue.tasks.get(result.id)
        committed = task.outcome if task is not None else None

        def text() -> str:
            return f"{result.id} is told to be {result.state!r}, committed is {committed}"

        same = committed is not None and committed[0] is result.state
        require(same, "true outcomes", text)
        assert committed is not None
        if with_data and not result.forgotten:
            require(committed[1] == result.data, "true outcomes", text)


def _same(reported: bytes, stored: bytes) -> bool:
    """Whether that is what a worker reported, as brokers store it."""
    return decode_failure(reported) == decode_failure(stored)
