"""What a task's code raises to say what is to become of it.

They are no errors: an attempt ends with each of them as its code wants it to.
"""

from raftwork.durations import RETRY_AFTER_MAX_S, Duration, seconds


class Retry(Exception):
    """Try it again, not before `after` seconds (None: after the pause that its options say).

    It counts as a failure: of a task that has no retries left it is the last attempt. Whatever
    `retry_on` and `max_backoff` say, the next attempt comes then. To keep what went wrong in the
    traceback, `raise Retry(after=30) from error`.
    """

    def __init__(self, text: str = "", *, after: Duration | None = None) -> None:
        super().__init__(text)
        #: In seconds.
        self.after = None if after is None else seconds("after", after)

    def __str__(self) -> str:
        when = "" if self.after is None else f" after {self.after:g} s"
        return super().__str__() or f"its code asked for another attempt{when}"


class RateLimited(Exception):
    """What it talks to wants no more for now: nothing of the same limits runs for so long.

    The gates that it passed, or that of `limit` alone, are shut for `retry_after` seconds, and it
    waits there again at its place. Nothing has failed. A task that counts for no limit waits for
    that time itself; one that may run only once has failed by it.
    """

    def __init__(self, text: str = "", *, retry_after: Duration, limit: str | None = None) -> None:
        super().__init__(text)
        #: In seconds.
        self.retry_after = seconds("retry_after", retry_after)
        if self.retry_after > RETRY_AFTER_MAX_S:
            raise ValueError(
                f"retry_after must be at most {RETRY_AFTER_MAX_S} seconds (31 days), got"
                f" {self.retry_after}: it would hold up all tasks of the limit for so long"
            )
        self.limit = limit

    def __reduce__(self) -> tuple[object, ...]:
        return _rate_limited, (type(self), *self.args), vars(self)

    def __str__(self) -> str:
        which = "" if self.limit is None else f" of {self.limit}"
        return super().__str__() or f"the rate{which} is used up for {self.retry_after:g} s"


class Reject(Exception):
    """It has failed for good, and is not tried again: its arguments, say, can never be right."""


class Resume(Exception):
    """It goes on in another attempt, which may be on another worker; nothing has failed.

    It waits again at its place in the queue. What is to be known there belongs in a checkpoint.
    A task that may run only once has failed by it.
    """


def _rate_limited(kind: type[RateLimited], *args: str) -> RateLimited:
    """Unpickle one: what it says follows as its state."""
    return kind(*args, retry_after=0)


class Replacement:
    """What a task returns to have others do its work (`raftwork.replace`)."""

    __slots__ = ("graph",)

    def __init__(self, graph: bytes) -> None:
        #: A packed Graph.
        self.graph = graph
