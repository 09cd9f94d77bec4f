"""Signals: a flow waits until somebody outside says something, such as "approved".

What that does is in signal_rows.py.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from raftwork.errors import ProtocolError, UnknownTask
from raftwork.features import flow_joins, signal_rows
from raftwork.features.effects import Done, Effect
from raftwork.features.task_batch import check_level
from raftwork.features.task_row import WITHOUT_CODE
from raftwork.messages import ID_MAX, NAME_MAX, State, encode_failure
from raftwork.messages.bounds import Between, Name
from raftwork.messages.failures import SignalTimedOut
from raftwork.messages.registry import command, reply, request

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature

#: Of a signal's value, packed.
SIGNAL_BYTES_MAX: Final = 64 * 1024

_FLOW = "SELECT number, phase FROM task JOIN flow ON number = task.seq WHERE task.id = ?"
_ROW = "SELECT seq, task.id, queue, spec, flags, flow FROM task WHERE seq = ? AND phase = ?"


@reply(185)
class SignalSaid(NamedTuple):
    """The signal stands."""

    request: int
    said: int  # 1; 0 if it was said before


@request(185, reply=SignalSaid)
class SaySignal(NamedTuple):
    """Say this to a flow, once; whatever waits for the name has the packed value."""

    request: int
    id: Annotated[str, Between(1, ID_MAX)]
    name: Name
    value: Annotated[bytes, Between(1, SIGNAL_BYTES_MAX)]


@command(185, since=2)
class Signal(NamedTuple):
    """As SaySignal."""

    id: str
    name: str
    value: bytes


def _check(view: "View", request: SaySignal) -> Signal | Done:
    check_level(view.state, "a signal needs")
    row = view.state.db.execute(_FLOW, (request.id,)).fetchone()
    if row is None or row[1] != WITHOUT_CODE:
        return Signal(request.id, request.name, request.value)  # where it is applied it is refused
    if signal_rows.is_said(view.state, row[0], request.name):
        return Done()  # also where there is no room for another
    return Signal(request.id, request.name, request.value)


def _answer(_view: "View", request: SaySignal, done: Done) -> SignalSaid:
    return SignalSaid(request.request, done.affected)


def _signal(ledger: "Ledger", command: Signal, _effects: list[Effect]) -> Done:
    row = ledger.db.execute(_FLOW, (command.id,)).fetchone()
    if row is None:
        raise UnknownTask(f"no flow has the id {command.id!r}, or it is no longer remembered")
    if row[1] != WITHOUT_CODE:
        raise ProtocolError(f"the flow {command.id} has ended: nothing in it waits for a signal")
    return Done(int(signal_rows.say(ledger, row[0], command.name, command.value)))


def _timed_out(ledger: "Ledger", seqs: Sequence[int], effects: list[Effect]) -> None:
    for seq in seqs:
        for row in list(ledger.db.execute(_ROW, (seq, WITHOUT_CODE))):
            found = flow_joins.Row(*row)
            wait = signal_rows.wait_of(ledger, seq)
            assert wait is not None, "a row waited for no signal, and timed out"
            failure = encode_failure(SignalTimedOut(wait.name[:NAME_MAX], wait.timeout))
            flow_joins.end_without_code(ledger, found, State.FAILED, failure, effects)


def _grows(_view: "View", _request: SaySignal) -> int:
    """It makes no task, and is refused while the disks have no room for its value."""
    return 0


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Feature, change, transition
    from raftwork.features.lifecycle import TimerKind

    return Feature(
        "signals",
        rules=[change(SaySignal, _check, _answer, grows=_grows)],
        transitions=[transition(Signal, _signal)],
        timers=[TimerKind(signal_rows.TIMED_OUT, _timed_out)],
    )
