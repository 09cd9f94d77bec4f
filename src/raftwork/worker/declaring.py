"""A worker that starts has the schedules that its code declares created, where they are missing.

Its session with the leader asks, so no further connection is opened. Sans-IO; times are ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.features.schedule_records import DeclareSchedules, SchedulesDeclared
    from raftwork.messages import Refused, ToBroker
    from raftwork.worker.leader_session import LeaderSession

#: Before what was not answered is asked again.
_RESEND_MS: Final = 2_000
#: … and what was refused: the cluster may be of an older level, and is upgraded some time.
_AGAIN_MS: Final = 60_000


class Declaring:
    """Asks until all is answered."""

    def __init__(self, requests: Sequence[DeclareSchedules], session: LeaderSession) -> None:
        #: By number, with the time at which to ask. Those that are not answered.
        self.asked = {
            number: (request._replace(request=number), 0)
            for number, request in enumerate(requests, 1)
        }
        self._session = session
        self._number = 0  # of the session that was asked

    def turn(self, now: int) -> list[ToBroker]:
        """What to send to the leader now."""
        session = self._session
        if not self.asked or not session.open:
            return []
        if session.number != self._number:
            self._number = session.number
            self.asked = {number: (asked, now) for number, (asked, _) in self.asked.items()}
        out: list[ToBroker] = []
        for number, (request, at) in self.asked.items():
            if now >= at:
                self.asked[number] = request, now + _RESEND_MS
                out.append(request)
        return out

    def answered(self, told: SchedulesDeclared) -> list[tuple[str, str]]:
        """The leader says what became of schedules."""
        known = self.asked.pop(told.request, None)
        return [] if known is None else told.fates

    def refused(self, refused: Refused, now: int) -> None:
        """Something was refused: if it was one of these, it is asked again after a while."""
        if refused.request in self.asked:
            request, _ = self.asked[refused.request]
            self.asked[refused.request] = request, now + _AGAIN_MS
