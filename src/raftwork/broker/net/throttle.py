"""A follower's rest from clients and workers.

Who does not lead has little to say to them, and the leader's entries to store: after it read what
they sent, it reads nothing of theirs for several times as long as that took. So a flood of requests
gets a part of a follower's time, and not that of the leader, which may be on the same machine.
"""

#: For so many times as long …
REST = 4
#: … and never longer (s): a pause of the whole process looks like something that took long to read.
REST_MAX = 0.05


class Throttle:
    """All times in seconds."""

    def __init__(self) -> None:
        self._until = 0.0

    def earned(self, began: float, ended: float) -> None:
        """What they sent was read from `began` to `ended`."""
        self._until = ended + min(REST * (ended - began), REST_MAX)

    def left(self, now: float) -> float:
        """0 if there is something to be heard from them again."""
        return max(0.0, self._until - now)
