"""How many unstarted tasks a worker may hold beyond its slots.

A slot stays taken for two commits longer than its task runs. For short tasks that is most of the
time, so the worker holds some ahead; a long task held ahead would wait here while another worker
is free, so none are.
"""

from collections.abc import Iterable

#: Mean run time from which nothing is held ahead, ms.
LONG_MS = 20.0
#: However short tasks are: what a leader hands out in the time of a commit on a busy machine.
WINDOW_MAX = 1_024
#: Payload of what is held ahead, bytes, by the mean of the last few tasks.
HELD_BYTES = 64 * 1024 * 1024
#: Work held ahead per slot, ms: generous beside a commit, short for a person who waits.
_AHEAD_MS = 100.0
#: So many times as much is too much: tasks have become longer than those by which it was little.
#: Less than that may be a single task that was held up by something else.
_TOO_MUCH = 10
#: Weight of the newest task in the means.
_SMOOTHING = 0.125


class PrefetchWindow:
    """Follows run times and payloads (exponentially weighted means): how much may be held ahead."""

    def __init__(self) -> None:
        self._mean: float | None = None
        self._payload = 0.0

    def came(self, payloads: Iterable[int]) -> None:
        """Tasks arrived, with so many bytes each."""
        mean = self._payload
        for payload in payloads:
            mean += _SMOOTHING * (payload - mean)
        self._payload = mean

    def ended(self, elapsed: float) -> None:
        """A task ran for `elapsed` ms, overhead included."""
        mean = self._mean
        self._mean = elapsed if mean is None else mean + _SMOOTHING * (elapsed - mean)

    def stuck(self, age: float) -> None:
        """Every slot has been busy with one task for at least `age` ms."""
        self._mean = max(age, self._mean or 0.0)

    @property
    def most(self) -> int:
        """How many tasks as large as the last few may be held ahead, however short they are."""
        return min(WINDOW_MAX, int(HELD_BYTES / max(self._payload, 1.0)))

    def size(self, slots: int) -> int:
        """0 while run times are long or unknown, at most `most`."""
        mean = self._mean
        if mean is None or mean >= LONG_MS:
            return 0
        return min(self.most, int(slots * _AHEAD_MS / max(mean, 0.001)))

    def overfull(self, waiting: int, slots: int) -> bool:
        """Whether so many that wait here should rather wait where a free worker gets them."""
        return waiting > slots + _TOO_MUCH * self.size(slots)
