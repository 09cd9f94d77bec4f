"""Who leads, and that another broker does from now on."""

from collections.abc import Generator
from time import monotonic
from typing import Final, NamedTuple

from raftwork.features.transfer import LeadershipTold, TransferLeadership

#: How long one that cannot take over yet is waited for, s.
TRANSFER_WAIT_S: Final = 30.0
#: Between two attempts, s: tasks enter meanwhile.
_AGAIN_S: Final = 0.5


class Transferred(NamedTuple):
    """Who leads, in which epoch, and who did before."""

    leader: str
    epoch: int
    before: str


class Step(NamedTuple):
    """What to ask next, and for how long (s) to wait before that."""

    asked: TransferLeadership
    pause: float


def moves(to: str, wait: float) -> Generator[Step, LeadershipTold, Transferred]:
    """What to ask until the named broker leads, or any other one; each answer is sent in.

    The leader that is asked is gone by the time of the answer, so it is asked by its epoch: an
    answer that is lost, and asked for again, moves nothing twice. Raises TimeoutError.
    """
    first = told = yield Step(TransferLeadership(0, to, 0), 0.0)
    until, pause = monotonic() + wait, 0.0
    while told.name != to if to else told.name == first.name:
        if pause and monotonic() >= until:
            why = told.why or f"{told.name} leads, in epoch {told.epoch}"
            raise TimeoutError(f"leadership was not handed over within {wait:g} s: {why}")
        told = yield Step(TransferLeadership(0, to, told.epoch), pause)
        pause = _AGAIN_S
    return Transferred(told.name, told.epoch, first.name)
