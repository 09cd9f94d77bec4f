"""Leadership that is to go to another broker, because somebody says so.

1. Nothing of it is in the log: who leads is the consensus core's business, and a leader that gives
   it up says so to the next one itself.
2. The answer comes from whoever leads then: the one that asked is not the leader any more. So a
   request says which epoch is to end. Where another one leads, or this one leads anew, it has.
3. While the core tries, no task enters. So it tries once, for an election timeout; who still wants
   it asks again.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.errors import ProtocolError
from raftwork.messages.bounds import OptionalName
from raftwork.messages.registry import reply, request

if TYPE_CHECKING:
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature

#: After so long (ms, leader time) what was begun has come to nothing.
_PATIENCE_MS: Final = 3_000


@reply(255)
class LeadershipTold(NamedTuple):
    """Who leads, in which epoch; and why no other one does, if that was asked for."""

    request: int
    name: str
    epoch: int
    why: str = ""


@request(255, reply=LeadershipTold)
class TransferLeadership(NamedTuple):
    """Let this epoch end, and the named broker lead the next one, or any if the name is empty.

    In another epoch it asks for nothing but who leads.
    """

    request: int
    to: OptionalName
    epoch: int


def _transfer(view: "View", request: TransferLeadership) -> Generator[None, None, LeadershipTold]:
    if request.epoch != view.epoch or request.to == view.name:
        return LeadershipTold(request.request, view.name, view.epoch)
    others = view.members()
    if request.to and request.to not in others:
        names = ", ".join(sorted({*others, view.name}))
        raise ProtocolError(f"there is no broker {request.to!r}; there are {names}")
    if not others:
        raise ProtocolError(f"{view.name} is the only broker: no other one can lead")
    if request.to and others[request.to] is None:
        why = f"{request.to} does not answer {view.name}, which leads: start it"
        return LeadershipTold(request.request, view.name, view.epoch, why)
    view.hand_over(request.to)
    until = view.time + _PATIENCE_MS
    while view.time < until:
        yield
    took = f"{request.to} did not take over" if request.to else "no other broker took over"
    why = f"{took} within {_PATIENCE_MS // 1_000} s: see whether it is up and level"
    return LeadershipTold(request.request, view.name, view.epoch, why)


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, wait

    return Feature(
        "who leads",
        rules=[wait(TransferLeadership, _transfer, each_turn=False)],
        budget=Budget(requests=100),
    )
