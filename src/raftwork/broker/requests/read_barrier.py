"""Questions that wait for a read barrier: a deposed leader would answer with stale state."""

from typing import Generic, TypeVar

Q = TypeVar("Q")


class ReadBarrier(Generic[Q]):
    """Questions of one kind, in the order in which they came."""

    def __init__(self) -> None:
        #: Those that wait for a barrier to be asked for.
        self.asking: list[Q] = []
        self._behind: dict[int, list[Q]] = {}

    def __len__(self) -> int:
        return len(self.asking) + sum(map(len, self._behind.values()))

    def add(self, question: Q) -> None:
        """Hold a question until a barrier that is asked for later has passed."""
        self.asking.append(question)

    def barrier(self, token: int) -> None:
        """A barrier was asked for: all that came before it wait for this one."""
        if self.asking:
            self._behind[token], self.asking = self.asking, []

    def passed(self, token: int) -> list[Q]:
        """The barrier has passed: what may be answered now, drained."""
        return self._behind.pop(token, [])
