"""The time limits of tasks, by what the tasks are, and how those end that ran for longer."""

from collections.abc import Callable

from raftwork.errors import BadMessage
from raftwork.messages import Outcome, PushedTask, decode_spec
from raftwork.worker.runner import overtime

_SPECS_MAX = 1_024


def _as_it_is(outcome: Outcome) -> Outcome:
    return outcome


class TimeLimits:
    """Keeps what it has decoded: the tasks of a batch have one spec."""

    def __init__(self, with_last_lines: Callable[[Outcome], Outcome] = _as_it_is) -> None:
        """`with_last_lines` is the pool's (TaskNotes)."""
        self._limit_of: dict[bytes, int] = {}
        self._with_last_lines = with_last_lines

    def of(self, spec: bytes) -> int:
        """In ms; 0 is none."""
        limit = self._limit_of.get(spec)
        if limit is None:
            try:
                limit = decode_spec(spec).timeout
            except BadMessage:
                limit = 0  # running it will say so
            if len(self._limit_of) >= _SPECS_MAX:
                self._limit_of.clear()
            self._limit_of[spec] = limit
        return limit

    def passed(self, task: PushedTask) -> Outcome:
        """The outcome of a task whose code ran longer than its limit."""
        limit = self.of(task.spec)
        text = f"its code ran longer than its time limit of {limit / 1000:g} s"
        return self._with_last_lines(overtime(task, text))
