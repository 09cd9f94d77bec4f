"""What the code of a worker's tasks is to heed: that it is asked to end, or that its worker is."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from raftwork.worker.runner import Ended


class Notices(Protocol):
    """Asked for by the code of tasks, in whatever thread or process it runs."""

    def cancelled(self, token: int) -> bool:
        """Whether the task under this token is asked to end."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether the worker takes nothing new any more."""
        ...


class LocalNotices:
    """Of a pool whose tasks run in the worker's own process. Each change is one step."""

    def __init__(self) -> None:
        self.tokens = set[int]()
        self.stopping = False

    def cancelled(self, token: int) -> bool:
        """Whether the task under this token is asked to end."""
        return token in self.tokens

    def ask(self, tokens: Iterable[int]) -> None:
        """The tasks under these tokens, which are not over, are asked to end."""
        self.tokens.update(tokens)

    def forget(self, ended: "Sequence[Ended]") -> None:
        """These are over."""
        if self.tokens:
            self.tokens.difference_update(end.outcome.token for end in ended)


#: Where nobody gives any.
NO_NOTICES: Final = LocalNotices()
