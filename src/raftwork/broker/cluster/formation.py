"""The first formation of a cluster: which incarnations may ever vote (design: identity).

Every broker of the cluster must be reachable and blank; then the lowest name fixes the roster and
the cluster id, and each broker persists both before its first vote and accepts no other. One broker
that already belongs to a cluster is enough to stop this: an emptied directory must never vote in
place of the one it replaces, so its owner joins as a learner instead.
"""

from collections.abc import Sequence

from raftwork.consensus.core import Peer, Roster

#: A blank broker not heard for so long (ms) is not reachable.
REACHABLE_MS = 3_000


class Formation:
    """What a blank broker has heard of the others."""

    def __init__(self, me: Peer, names: Sequence[str]) -> None:
        assert me.name in names
        self._me = me
        self._names = sorted(names)
        self._blank: dict[str, tuple[bytes, int]] = {}

    def heard(self, peer: Peer, cluster_id: bytes, now: int) -> None:
        """A broker named itself; an empty `cluster_id` means that it is blank."""
        if cluster_id:
            self._blank.pop(peer.name, None)
        elif peer.name in self._names:
            self._blank[peer.name] = (peer.incarnation, now)

    def roster(self, now: int) -> Roster | None:
        """The roster to form with, if this broker is the one to form and all others are blank."""
        if self._me.name != self._names[0]:
            return None
        self._blank[self._me.name] = (self._me.incarnation, now)
        if any(
            now - self._blank.get(name, (b"", -REACHABLE_MS))[1] >= REACHABLE_MS
            for name in self._names
        ):
            return None
        return {name: self._blank[name][0] for name in self._names}
