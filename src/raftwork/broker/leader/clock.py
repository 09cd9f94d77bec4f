"""Leader time: the cluster's wall clocks, as one clock that is never set back. Sans-IO.

1. It begins at the median of the wall clocks, or where machine time is, whichever is later.
2. Between two comparisons it follows the monotonic clock, which takes no step. A leader of months
   would drift away from the calendar, so it is compared every STEER_MS.
3. Far behind it is set forward at once: what is due is late already. Otherwise it runs a tenth
   faster or slower until the two are equal. So if the clocks are set back timers come late, but
   none comes twice, and no duration is shorter than by a tenth.
"""

from typing import Final

#: Between two comparisons with the wall clocks.
STEER_MS: Final = 10_000
#: What is further behind is set.
SET_MS: Final = 500
#: Until it is equal it is faster or slower by one part in so many.
_SLEW: Final = 10


class LeaderClock:
    """Leader time (ms) as a function of the monotonic clock (ms)."""

    def __init__(self, time: int, now: int) -> None:
        """It is `time` at `now`."""
        self._base, self._since = time, now
        #: For so long after `_since` it gains, or loses, a tenth.
        self._span, self._sign = 0, 0
        #: When to compare it.
        self.steer_at = now + STEER_MS

    def at(self, now: int) -> int:
        """Leader time then; not before the last comparison."""
        elapsed = now - self._since
        if not self._sign:
            return self._base + elapsed
        return self._base + elapsed + self._sign * (min(elapsed, self._span) // _SLEW)

    def when(self, time: int) -> int:
        """When it is that leader time, if nothing is compared until then."""
        left = time - self._base
        slewed = self._span + self._sign * (self._span // _SLEW)
        if self._span == 0 or left >= slewed:
            return self._since + left - self._sign * (self._span // _SLEW)
        parts = _SLEW + self._sign
        guess = self._since + left * _SLEW // parts
        return next(now for now in range(guess - 2, guess + 3) if self.at(now) >= time)

    def steer(self, wall: int, now: int) -> None:
        """The wall clocks say `wall` at `now`."""
        time = self.at(now)
        behind = wall - time
        self.steer_at = now + STEER_MS
        self._base, self._since, self._span, self._sign = time, now, 0, 0
        if behind > SET_MS:
            self._base = wall
        elif behind:
            self._span, self._sign = abs(behind) * _SLEW, 1 if behind > 0 else -1
