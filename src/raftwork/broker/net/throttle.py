"""How a follower limits what it reads from clients and workers.

A follower has little to tell them, and the leader's entries to store: after it read what they sent,
it reads nothing of theirs for several times as long as that took. So a flood of requests gets a
part of a follower's time, and none of the leader's, which may be on the same machine.
"""

#: For so many times as long …
REST = 4
#: … and never longer (s): a pause of the whole process looks like something that took long to read.
REST_MAX = 0.05


class Throttle:
    """All times in seconds."""

    def __init__(self) -> None:
        self._until = 0.0
        #: Whether `left` may be more than 0.
        self.rests = False

    def earned(self, began: float, ended: float) -> None:
        """What they sent was read from `began` to `ended`."""
        self.rests = True
        self._until = ended + min(REST * (ended - began), REST_MAX)

    def left(self, now: float) -> float:
        """How long (s) not to read from them yet; 0 if they may be read now."""
        left = max(0.0, self._until - now)
        self.rests = left > 0
        return left
