"""The states and outcomes of tasks: asked for once, or watched until they are final.

A committed outcome may be sent at once, as it never changes. "Not finished" and "unknown" are sent
only after a read barrier (G7). What a session watches is kept in the leader's ResultOutbox.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, NamedTuple

from raftwork.messages import WATCH_IDS_MAX, Result, State
from raftwork.messages.bounds import Between, Id
from raftwork.messages.registry import from_broker, reply, request

if TYPE_CHECKING:
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature, Slices

#: Ids of one request.
Ids = Annotated[list[Id], Between(0, WATCH_IDS_MAX)]
#: Ids looked up at a time, about 8 µs each.
SLICE = 500


@reply(5)
class Watched(NamedTuple):
    """The watch stands for this session; outcomes come as Results."""

    request: int


@request(4, reply=Watched)
class Watch(NamedTuple):
    """Push the outcome of each of these to this session, now or once it is committed."""

    request: int
    ids: Ids


@from_broker.register(6)
class Results(NamedTuple):
    """Outcomes (final states) of watched tasks, or UNKNOWN for ids that were never enqueued."""

    results: list[Result]


@reply(7)
class Answer(NamedTuple):
    """States only: outcomes come as Results, to sessions that watch."""

    request: int
    results: list[Result]


@request(5, reply=Answer)
class Ask(NamedTuple):
    """The state of these tasks now (linearizable)."""

    request: int
    ids: Ids


def _states(view: "View", request: Ask) -> "Slices":
    ids = list(dict.fromkeys(request.ids))
    states: list[State] = []
    for at in range(0, len(ids), SLICE):
        part = ids[at : at + SLICE]
        states += view.machine.states(part)
        yield len(part)
    return Answer(request.request, [Result(*known, b"") for known in zip(ids, states, strict=True)])


def watch(view: "View", routing: bytes, ids: Iterable[str]) -> list[str]:
    """Push these outcomes to this session, now or once committed; returns ids not known here.

    Raises QueueFull, with nothing watched, if there is no room.
    """
    ids = list(dict.fromkeys(ids))
    view.results.check_room(routing, ids)
    unknown: list[str] = []
    for id_, state in zip(ids, view.machine.states(ids), strict=True):
        if state.final:
            view.results.tell(routing, id_)
            continue
        if state is State.UNKNOWN:
            unknown.append(id_)
        view.results.watch(routing, id_)
    return unknown


def _watch(view: "View", routing: bytes, request: Watch) -> "tuple[Watched, Slices | None]":
    unknown = watch(view, routing, request.ids)
    return Watched(request.request), _unknown(view, routing, unknown) if unknown else None


def _unknown(view: "View", routing: bytes, ids: list[str]) -> "Slices":
    """Behind the barrier: report the ids that were never enqueued."""
    for at in range(0, len(ids), SLICE):
        part = ids[at : at + SLICE]
        for id_, state in zip(part, view.machine.states(part), strict=True):
            if state is State.UNKNOWN:
                view.results.unknown(routing, id_)
        yield len(part)
    return None


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, read_by_slices, subscribe

    return Feature(
        "results",
        rules=[subscribe(Watch, _watch), read_by_slices(Ask, _states)],
        budget=Budget(requests=100_000, bytes=128 * 1024 * 1024),
    )
