"""When a session has to be woken next."""


class Alarm:
    """The earliest of the times at which something is due, in ms of a clock that only grows."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        #: None: nothing is due before the next fact.
        self.at: int | None = None

    def due(self, at: int) -> None:
        """Something is due at `at` (ms)."""
        if self.at is None or at < self.at:
            self.at = at
