"""How many unstarted tasks a worker may hold beyond its slots.

A slot stays taken for two commits longer than its task runs. For short tasks that is most of the
time, so the worker holds some ahead; a long task held ahead would wait here while another worker
is free, so none are.
"""

#: Mean run time from which nothing is held ahead, ms.
LONG = 20.0
WINDOW_MAX = 256
#: Work held ahead per slot, ms: generous beside a commit, short beside a person's patience.
_AHEAD = 100.0
#: Weight of the newest run time in the mean.
_SMOOTHING = 0.125


class Window:
    """Follows run times (an exponentially weighted mean) and says how much may be held ahead."""

    def __init__(self) -> None:
        self._mean: float | None = None

    def ended(self, elapsed: float) -> None:
        """A task ran for `elapsed` ms, overhead included."""
        mean = self._mean
        self._mean = elapsed if mean is None else mean + _SMOOTHING * (elapsed - mean)

    def stuck(self, age: float) -> None:
        """Every slot has been busy with one task for at least `age` ms."""
        self._mean = max(age, self._mean or 0.0)

    def size(self, slots: int) -> int:
        """0 while run times are long or unknown, at most WINDOW_MAX."""
        mean = self._mean
        if mean is None or mean >= LONG:
            return 0
        return min(WINDOW_MAX, int(slots * _AHEAD / max(mean, 0.001)))
