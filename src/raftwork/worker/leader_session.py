"""Which broker leads, and the worker's session with it. Sans-IO.

1. Only an activated leader gets a hello; the highest activated epoch wins, for ever.
2. Each hello has a higher number. Of the leader's frames only those of the present epoch and number
   count, so whatever an older session still has in flight is void.
3. Nothing is relied on once. Silence makes the worker ask every broker; an unanswered hello is
   repeated; a hello is sent again when the leader has pushed more than arrived.
"""

from random import Random

from raftwork.messages import FromBroker, Leader
from raftwork.net.leader_claims import learnable

#: Of the leader, after which all brokers are asked, ms. It beats several times in it.
SILENCE_MS = 1_000
#: Between two hellos of which neither was answered, and between two rounds of questions once they
#: were asked in vain for a while, ms.
_AGAIN_MS = 1_000
#: Before the second round of questions, ms; doubled at each further one. An election is mostly over
#: by then, and the old leader's tasks wait for this worker's hello. Repeated news must not storm.
_SOON_MS = 100


class LeaderSession:
    """The worker's session. Facts go in through methods; `asks` and `hello` say what is due."""

    def __init__(self, brokers: list[str], now: int, rng: Random) -> None:
        self._rng = rng
        self.brokers = brokers
        self._given = len(brokers)
        self.leader: str | None = None  # the address it was reached at
        self.epoch = 0  # the highest activated one
        self.number = 0
        self.open = False  # welcomed, and not closed since
        self.lost = ""  # why it is not open any more, if it was not closed to open another
        self.heard_at: dict[str, int] = {}  # by address
        self._pushed = 0  # tasks received in it
        self._asked = now - _SOON_MS
        self._pause = _SOON_MS  # before the next round
        self._patience = self._jittered(SILENCE_MS)  # with the leader's silence
        self._ask_at = now
        self._hello_at = now

    # ---- facts -----------------------------------------------------------------------------------

    def heard(self, source: str, now: int) -> None:
        """A broker sent something at `now` (ms)."""
        self.heard_at[source] = now
        if source == self.leader:
            self._pause = _SOON_MS
            self._ask_at = now + self._patience

    def announced(self, source: str, news: Leader, now: int) -> None:
        """A broker's view of the leadership."""
        if news.active:
            if news.epoch > self.epoch or (news.epoch == self.epoch and self.leader is None):
                self.epoch, self.leader = news.epoch, source
                self.heard(source, now)
                self.reopen(now)
        elif source == self.leader and news.epoch >= self.epoch:
            self.leader = None  # deposed
            self.open = False
            self.lost = f"{source} leads no more"
            self._ask_soon()
        elif news.epoch > self.epoch and news.address:
            self._learn(news.address)
            self._ask_soon()

    def refused(self, source: str, now: int) -> None:
        """The broker has no session for this worker."""
        if source == self.leader and self.open:
            self.reopen(now)

    def link_lost(self, source: str, now: int) -> None:
        """The connection closed or refused a frame: frames in flight may be lost."""
        if source == self.leader and self.open:
            self.open = False
            self.lost = f"the connection to {source} closed"
            self._hello_at = now + _SOON_MS
            self._ask_soon()

    def link_made(self, source: str, now: int) -> None:
        """There is a connection (again)."""
        if source == self.leader and not self.open:
            self._hello_at = now
        elif self.leader is None:
            self._ask_soon()

    def welcomed(self, source: str, epoch: int, number: int) -> bool:
        """Whether this welcome opens the present session."""
        if self.open or source != self.leader or number != self.number or epoch < self.epoch:
            return False
        self.epoch = epoch
        self.open = True
        self.lost = ""
        self._pushed = 0
        return True

    def current(self, source: str, frame: FromBroker) -> bool:
        """Whether a frame of a session, which begins with epoch and number, counts."""
        if not self.open or source != self.leader:
            return False
        return frame[1] == self.number and frame[0] == self.epoch

    def pushed(self, tasks: int) -> None:
        """So many more tasks arrived in this session."""
        self._pushed += tasks

    def beat(self, pushed: int, now: int) -> None:
        """The leader has pushed so many tasks in this session."""
        if pushed != self._pushed:
            self.reopen(now)

    def reopen(self, now: int) -> None:
        """Say hello again at once."""
        self.open = False
        self._hello_at = now

    def _learn(self, address: str) -> None:
        """Ask this broker, too, from now on, unless it is none: a socket would end the worker."""
        if learnable(address, self.brokers, self._given):
            self.brokers.append(address)

    # ---- what is due -----------------------------------------------------------------------------

    @property
    def wake_at(self) -> int:
        """When `asks` or `hello` is due next (ms)."""
        if self.leader is None or self.open:
            return self._ask_at
        return min(self._ask_at, self._hello_at)

    def asks(self, now: int) -> list[str]:
        """The brokers to ask for the leader now."""
        if now < self._ask_at:
            return []
        self._asked = now
        self._ask_at = now + self._jittered(self._pause)
        self._pause = min(2 * self._pause, _AGAIN_MS)
        self._patience = self._jittered(SILENCE_MS)
        return list(self.brokers)

    def hello(self, now: int) -> bool:
        """Whether a hello is due; it takes the next number."""
        if self.leader is None or self.open or now < self._hello_at:
            return False
        self.number += 1
        self._hello_at = now + self._jittered(_AGAIN_MS)
        return True

    def _ask_soon(self) -> None:
        self._ask_at = min(self._ask_at, self._asked + _SOON_MS)

    def _jittered(self, base: int) -> int:
        """Up to a fifth more or less: a thousand workers must not ask in step."""
        return base + self._rng.randrange(-base // 5, base // 5 + 1)
