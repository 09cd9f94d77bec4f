"""Why a broker cannot serve yet, for people. Sans-IO.

It is reported once it has lasted longer than a start or an election usually takes, again at once
when it changes, and then every minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.broker.events import Waits
from raftwork.consensus.core import Role
from raftwork.consensus.quorum import majority

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raftwork.broker.cluster.peers import Peers
    from raftwork.consensus.core import Status

#: Times in ms. How long a start or an election may take unreported …
PATIENCE_MS = 2_500
#: … how often a report is repeated, and how often the state is looked at.
REMIND_MS = 60_000
LOOK_MS = 250


class Readiness:
    """What one broker has been waiting for since its start."""

    def __init__(
        self,
        me: str,
        cluster: Mapping[str, str],
        peers: Peers,
        now: int,
    ) -> None:
        #: What a start or an election may take without a word, ms.
        self.patience = PATIENCE_MS
        self._me = me
        self._cluster = cluster
        self._peers = peers
        self._kind = self._last_text = ""
        self._next_text_at = now + PATIENCE_MS
        self.look_at = now

    def look(self, status: Status | None, now: int) -> Waits | None:
        """What is to be said now; `status` is None for a broker without a cluster."""
        self.look_at = now + LOOK_MS
        kind, what = self._formation(now) if status is None else self._leader(status, now)
        if kind != self._kind:
            self._kind, self._last_text, self._next_text_at = kind, "", now + self.patience
        elif what and (now >= self._next_text_at or self._last_text not in ("", what)):
            self._last_text, self._next_text_at = what, now + REMIND_MS
            return Waits(what)
        return None

    def _formation(self, now: int) -> tuple[str, str]:
        """What kind of wait it is, and what it is for; empty if it waits for nothing."""
        away = self._away(now)
        if away:
            text = f"{self._reachable(away)}; the first start needs all: {', '.join(away)}"
        else:
            text = f"{self._reachable(away)}; {min(self._cluster)} is to form the cluster"
        return "formation", text

    def _leader(self, status: Status, now: int) -> tuple[str, str]:
        learner = status.role is Role.LEARNER
        if status.active or status.leader not in (None, self._me):
            text = f"a learner, without a vote until it has caught up with {status.leader}"
            return ("learner", text) if learner else ("", "")
        away, needed = self._away(now), majority(len(self._cluster))
        if len(self._cluster) - len(away) < needed:
            text = f"no majority: {self._reachable(away)}, {needed} are needed"
        else:
            text = f"no leader is elected; {self._reachable(away)}"
        if learner:
            text += "; this one is a learner, without a vote until it has caught up"
        return "leader", ": ".join((text, ", ".join(away))) if away else text

    def _away(self, now: int) -> list[str]:
        """What is wrong with each of those that cannot be reached."""
        return [
            f"{name} at {self._peers.address(name)} "
            + (f"refuses this broker ({link.refusal})" if link.refusal else "does not answer")
            for name, link in self._peers.links.items()
            if not link.answers(now)
        ]

    def _reachable(self, away: list[str]) -> str:
        count = len(self._cluster)
        return f"{count - len(away)} of {count} brokers reachable"
