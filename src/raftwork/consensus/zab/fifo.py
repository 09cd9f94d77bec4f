"""FIFO links over a network that loses, doubles and reorders: sessions and numbered frames.

Zab is proved for links that deliver all that was sent, in order (paper §III). So every message of a
leader to a follower bears its number within the follower's session. What was received already is
dropped; what comes early waits a moment for what it overtook; a number that stays missing ends the
session, and the follower opens the next one, in which the leader synchronises it again. Nothing
behind a gap is ever acted on.
"""

from dataclasses import dataclass, field

from raftwork.consensus.zab.messages import Framed, Session


@dataclass(slots=True)
class Inbound:
    """The follower's end of a session."""

    session: Session
    #: The number of the next frame.
    expected: int = 1
    #: Frames that came early, and since when the first missing one is awaited.
    early: dict[int, Framed] = field(default_factory=dict)
    gap_since: int | None = None

    @property
    def opened(self) -> bool:
        """Whether the leader has answered in this session."""
        return self.expected > 1 or bool(self.early)

    def take(self, seq: int, message: Framed, now: int) -> list[Framed]:
        """A frame has come; returns what can be acted on now, in order."""
        if seq < self.expected:
            return []
        self.early[seq] = message
        ready: list[Framed] = []
        while (following := self.early.pop(self.expected, None)) is not None:
            ready.append(following)
            self.expected += 1
        if not self.early:
            self.gap_since = None
        elif ready or self.gap_since is None:
            self.gap_since = now
        return ready

    def broken_at(self, patience: int, most: int) -> int | None:
        """When the session is given up for a missing frame; None: none is missing."""
        if len(self.early) > most:
            return 0
        return None if self.gap_since is None else self.gap_since + patience
