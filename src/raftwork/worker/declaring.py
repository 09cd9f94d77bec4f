"""A worker that starts has the schedules that its code declares created, where they are missing.

Its session with the leader asks, so no further connection is opened. Sans-IO; times are ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.features.schedule_records import SchedulesDeclared
from raftwork.messages import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.features.schedule_records import DeclareSchedules
    from raftwork.messages import FromBroker, ToBroker
    from raftwork.worker.leader_session import LeaderSession

#: Before what was not answered is asked again.
_RESEND_MS: Final = 2_000
#: … and what was refused: the cluster may be of an older level, and is upgraded some time.
_AGAIN_MS: Final = 60_000


class Declaring:
    """Asks until all is answered."""

    def __init__(self, requests: Sequence[DeclareSchedules], session: LeaderSession) -> None:
        #: By number, with the time at which to ask.
        self._asked = {
            number: (request._replace(request=number), 0)
            for number, request in enumerate(requests, 1)
        }
        self._session = session
        self._number = 0  # of the session that was asked

    def turn(self, now: int) -> list[ToBroker]:
        """What to send to the leader now."""
        session = self._session
        if not self._asked or not session.open:
            return []
        if session.number != self._number:
            self._number = session.number
            self._asked = {number: (asked, now) for number, (asked, _) in self._asked.items()}
        out: list[ToBroker] = []
        for number, (request, at) in self._asked.items():
            if now >= at:
                self._asked[number] = request, now + _RESEND_MS
                out.append(request)
        return out

    def answered(self, message: FromBroker, now: int) -> list[tuple[str, str]]:
        """Something came from the leader: what became of schedules, if it says so."""
        if isinstance(message, SchedulesDeclared):
            known = self._asked.pop(message.request, None)
            return [] if known is None else message.fates
        if isinstance(message, Refused) and message.request in self._asked:
            request, _ = self._asked[message.request]
            self._asked[message.request] = request, now + _AGAIN_MS
        return []
