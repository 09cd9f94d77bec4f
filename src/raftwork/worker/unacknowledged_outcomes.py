"""Outcomes the leader has not acknowledged yet. Sans-IO."""

from collections import deque
from collections.abc import Iterable, KeysView

from raftwork.messages import Outcome

#: Before an unacknowledged outcome is sent again, ms.
RESEND_MS = 1_000
#: In bytes; above it nothing more may be started.
BYTES_MAX = 8 * 1024 * 1024
#: Outcomes of one Report, in bytes, unless it is a single one.
BATCH_BYTES = 1024 * 1024
#: What an outcome takes beside its data.
_ENVELOPE_BYTES = 64


class Outcomes:
    """Keeps each outcome until it is confirmed, and says which are due."""

    def __init__(self) -> None:
        self._kept: dict[int, Outcome] = {}
        self._fresh: list[int] = []
        self._sent: deque[tuple[int, list[int]]] = deque()  # due again at, these tokens
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, token: int) -> bool:
        return token in self._kept

    @property
    def tokens(self) -> KeysView[int]:
        """The tokens of all outcomes that are kept."""
        return self._kept.keys()

    @property
    def size(self) -> int:
        """In bytes."""
        return self._bytes

    @property
    def full(self) -> bool:
        """Whether more than BYTES_MAX is kept: nothing new should be started."""
        return self._bytes > BYTES_MAX

    @property
    def due_at(self) -> int | None:
        """When `due` has something; 0 is at once, None is never."""
        if self._fresh:
            return 0
        return self._sent[0][0] if self._sent else None

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome until it is forgotten; it is due at once."""
        assert outcome.token not in self._kept
        self._kept[outcome.token] = outcome
        self._fresh.append(outcome.token)
        self._bytes += len(outcome.data) + _ENVELOPE_BYTES

    def forget(self, tokens: Iterable[int]) -> None:
        """Drop the outcomes that the leader has confirmed."""
        for token in tokens:
            outcome = self._kept.pop(token, None)
            if outcome is not None:
                self._bytes -= len(outcome.data) + _ENVELOPE_BYTES
        self._prune()

    def _prune(self) -> None:
        """Forget when to send again what was confirmed: else the worker would wake for it."""
        while self._sent:
            tokens = self._sent[0][1]
            while tokens and tokens[-1] not in self._kept:
                tokens.pop()
            if tokens:
                return
            self._sent.popleft()

    def renew(self) -> None:
        """All are due: another leader, or another session, knows nothing of them."""
        self._fresh = list(self._kept)
        self._sent.clear()

    def due(self, now: int) -> list[list[Outcome]]:
        """What to send now, in batches that fit a frame; each is due again after RESEND."""
        tokens, self._fresh = self._fresh, []
        while self._sent and self._sent[0][0] <= now:
            tokens += self._sent.popleft()[1]
        due = [outcome for token in tokens if (outcome := self._kept.get(token)) is not None]
        if due:
            self._sent.append((now + RESEND_MS, [outcome.token for outcome in due]))
        return _batches(due)


def _batches(outcomes: list[Outcome]) -> list[list[Outcome]]:
    batches: list[list[Outcome]] = []
    size = BATCH_BYTES
    for outcome in outcomes:
        size += len(outcome.data) + _ENVELOPE_BYTES
        if size > BATCH_BYTES:
            batches.append([])
            size = len(outcome.data) + _ENVELOPE_BYTES
        batches[-1].append(outcome)
    return batches
