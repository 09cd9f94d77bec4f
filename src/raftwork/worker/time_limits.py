"""The time limits of tasks, by what the tasks are."""

from raftwork.errors import BadMessage
from raftwork.messages import decode_spec

_SPECS_MAX = 1_024


class TimeLimits:
    """Keeps what it has decoded: the tasks of a batch have one spec."""

    def __init__(self) -> None:
        self._limit_of: dict[bytes, int] = {}

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
