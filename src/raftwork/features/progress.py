"""How far a running task is, by its own word.

Progress is not state: it stands in no log, goes with the attempt, and may be a second old. Workers
tell the leader what is new, at most twice a second of a task, and all of it to a new leader.
"""

from typing import TYPE_CHECKING, Annotated, NamedTuple

from raftwork.errors import UnknownTask
from raftwork.messages import TOKENS_MAX, State
from raftwork.messages.bounds import Between, Id
from raftwork.messages.registry import reply, request, to_broker

if TYPE_CHECKING:
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature

#: Of a text, in UTF-8.
TEXT_BYTES_MAX = 512
#: Of what is asked: an empty answer has no time.
_NONE = 0


class Said(NamedTuple):
    """How far a task is: the part that is done, words, and since when, leader time."""

    fraction: float
    text: str
    at: int


class Told(NamedTuple):
    """What a task said last: the part that is done, 0 … 1, some words, and how long ago (ms)."""

    token: int
    fraction: float
    text: str
    age: int


@to_broker.register(131)
class TellProgress(NamedTuple):
    """A worker's: what its tasks said since it told the last time."""

    session: int
    told: Annotated[list[Told], Between(0, TOKENS_MAX)]


@reply(132)
class ProgressTold(NamedTuple):
    """`at` is leader time, ms; 0: it runs not, or has said nothing."""

    request: int
    fraction: float
    text: str
    at: int


@request(132, reply=ProgressTold)
class AskProgress(NamedTuple):
    """What this task said last in the attempt that runs."""

    request: int
    id: Id


def _answer(view: "View", asked: AskProgress) -> ProgressTold:
    found = view.workers.inspection.progress(asked.id)
    if found is not None:
        return ProgressTold(asked.request, found.fraction, found.text, found.at)
    if view.machine.states([asked.id]) == [State.UNKNOWN]:
        raise UnknownTask(f"no task has the id {asked.id}, or it is no longer remembered")
    return ProgressTold(asked.request, 0.0, "", _NONE)


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, read

    return Feature(
        "progress",
        rules=[read(AskProgress, _answer)],
        budget=Budget(requests=100_000, bytes=64 * 1024 * 1024),
    )
