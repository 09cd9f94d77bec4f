"""Reports which leader a broker follows, for people. Sans-IO; nothing acts on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.broker.events import Follows

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.events import Event


class LeaderEvents:
    """The leaders of one broker since its start."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._last = (0, "")  # the last leader, and its epoch

    def follows(self, epoch: int, leader: str) -> None:
        """This broker knows another leader than before; empty for none."""
        of, led = self._last
        if leader:
            self._last = epoch, leader
            if of == epoch and led != leader:
                return  # found, and on the way to an epoch of its own
        self._tell(Follows(epoch, leader))
