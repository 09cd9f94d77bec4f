"""Enqueues as instruments see them: when one begins and ends, and what its tasks take along."""

from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from raftwork.client.per_call import PerCall, checked_headers
from raftwork.errors import PayloadTooLarge
from raftwork.instruments import Entered, Sending, complain, headers, installed

if TYPE_CHECKING:
    from raftwork.client.batch import Batch
    from raftwork.sealing import Codec


class _Unfollowed:
    """Nobody wants to know of it."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __call__(self, batch: "Batch") -> "Batch":
        return batch


class _Followed:
    """Enters what the instruments give for this enqueue."""

    __slots__ = ("_entered", "_sending")

    def __init__(self, sending: Sending) -> None:
        self._sending = sending
        self._entered = Entered(
            partial(each.send, sending) for each in list(installed) if each.send is not None
        )

    def __enter__(self) -> Self:
        self._entered.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._entered.__exit__(kind, error, trace)

    def __call__(self, batch: "Batch") -> "Batch":
        self._sending.ids = batch.ids
        return batch


_UNFOLLOWED: Final = _Unfollowed()


def followed(task: str, queue: str, *, many: bool = False) -> _Unfollowed | _Followed:
    """To be entered around an enqueue, and called with the batch once that is packed."""
    return _Followed(Sending(task, queue, many)) if installed else _UNFOLLOWED


def besides_of(call: PerCall, codec: "Codec | None", given: object) -> Mapping[str, object] | None:
    """What goes behind a call's arguments (`pack_call`); `given` are its ids, if any are.

    What is sealed is compared as it is: under another trace the same id would be another call.
    """
    follows = installed and (given is None or codec is None)
    return with_context(call.besides) if follows else call.besides


def with_context(besides: Mapping[str, object] | None) -> Mapping[str, object] | None:
    """What goes behind the arguments, with the headers of the instruments if there are any.

    Those are left out if there is no room for them: they are no part of the call.
    """
    own = besides.get("headers", {}) if besides else {}
    assert isinstance(own, Mapping)
    found = headers(own)
    if len(found) == len(own):
        return besides
    try:
        return {**(besides or {}), "headers": dict(checked_headers(found))}
    except (PayloadTooLarge, TypeError, ValueError) as error:
        complain(error)
        return besides
