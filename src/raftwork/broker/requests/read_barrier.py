"""Questions that only a read barrier makes true to answer: a deposed leader would tell what was."""

from typing import Generic, TypeVar

Q = TypeVar("Q")


class ReadBarrier(Generic[Q]):
    """Those of one kind, in the order in which they came."""

    def __init__(self) -> None:
        self._new: list[Q] = []
        self._behind: dict[int, list[Q]] = {}

    def __len__(self) -> int:
        return len(self._new) + sum(map(len, self._behind.values()))

    def add(self, question: Q) -> None:
        """Hold a question until a barrier that is asked for later has passed."""
        self._new.append(question)

    @property
    def asking(self) -> bool:
        """Whether some wait for a barrier to be asked for."""
        return bool(self._new)

    def barrier(self, token: int) -> None:
        """A barrier was asked for: all that came before it wait for this one."""
        if self._new:
            self._behind[token], self._new = self._new, []

    def passed(self, token: int) -> list[Q]:
        """The barrier has passed: what may be answered now, drained."""
        return self._behind.pop(token, [])
