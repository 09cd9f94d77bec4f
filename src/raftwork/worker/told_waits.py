"""What the leader was told of the tasks that wait for others. Sans-IO."""

from collections.abc import Collection

from raftwork.messages import Wait


class ToldWaits:
    """The waits of a worker's tasks, and which of them the leader of the session does not know."""

    def __init__(self) -> None:
        self._now: dict[int, Wait] = {}  # by token
        self._news: dict[int, None] = {}  # tokens
        self.parked = 0  # tasks that hold no slot
        #: Tasks that have waited, until they end: how long they took says nothing of their code.
        self.have_waited: set[int] = set()

    def __bool__(self) -> bool:
        """Whether any task waits."""
        return bool(self._now)

    def see(self, waits: Collection[Wait]) -> bool:
        """These wait, and no others; whether that is news."""
        now = {wait.token: wait for wait in waits}
        changed = [token for token, wait in now.items() if self._now.get(token) != wait]
        over = [token for token in self._now if token not in now]
        self._now = now
        if not changed and not over:
            return False
        self._news.update(dict.fromkeys((*changed, *over)))
        self.have_waited.update(changed)
        self.parked = sum(wait.parked for wait in now.values())
        return True

    def over(self, token: int) -> bool:
        """The task is over; whether it has waited."""
        if token not in self.have_waited:
            return False
        self.have_waited.remove(token)
        self._news.pop(token, None)
        gone = self._now.pop(token, None)
        self.parked -= gone is not None and gone.parked
        return True

    def renew(self) -> None:
        """A new session: its leader knows of none."""
        self._news = dict.fromkeys(self._now)

    @property
    def news(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._news)

    def take(self) -> list[Wait]:
        """What is to be told, drained."""
        told = [self._now.get(token) or Wait(token, 0) for token in self._news]
        self._news = {}
        return told
