"""Limits as a program sees them: so many tasks at once, or in a time, over the whole cluster."""

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from raftwork.client.options import label
from raftwork.client.per_call import instant
from raftwork.client.reply import Reply
from raftwork.features.limit_settings import ENDLESS, FIELDS, changes, name_objection, objection
from raftwork.features.limits import (
    AskLimits,
    DeleteLimit,
    LimitDeleted,
    LimitPaused,
    LimitResumed,
    LimitSet,
    LimitsTold,
    PauseLimit,
    ResumeLimit,
    SetLimit,
    ToldLimit,
)
from raftwork.messages import NAME_MAX

if TYPE_CHECKING:
    from raftwork.client.caller import Caller


class LimitFields(TypedDict, total=False):
    """What can be set for a limit; None clears it."""

    concurrency: int | None
    """Tasks that may run at once, on all workers."""
    rate: str | None
    """Tasks that may be handed out in a time: `100/m`, `5/s`, `1/10s` (units s, m, h, d). They are
    spread evenly."""
    burst: int | None
    """How many of these may come at once after a pause that was long enough. None: 1."""
    per: Literal["tenant", "key"] | None
    """Whether each `tenant=` or `key=` of tasks counts by itself. It stays as it is first set."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, and how far it is used now."""

    name: str
    concurrency: int | None
    rate: str | None
    burst: int
    per: str | None
    paused: bool
    #: When its pause ends by itself (UTC).
    paused_until: datetime | None
    #: Tasks that it let in and that run.
    running: int
    #: Tenants or keys of which something runs, or that a rate still holds back.
    in_use: int


class Limits:
    """The limits of a cluster. Made by `App.limits`.

    Tasks name those that they count for (`limits=["stripe"]`). A limit named `task:` and a task's
    name holds for the tasks of that name that are enqueued from then on. Those of a queue are set
    with `Queue.set`.

    Every method raises Unavailable if no leader answers in the App's timeout, and TypeError or
    ValueError for what is no limit's name.
    """

    def __init__(self, app: "Caller") -> None:
        self.caller = app

    def set(self, name: str, /, **changes: Unpack[LimitFields]) -> None:
        """Make a limit, or change it, at once and for every later leader.

        None clears a setting; what is not given stays. What runs goes on: a lower concurrency holds
        once enough of it has ended. Raises TypeError and ValueError for settings that mean nothing,
        ProtocolError for another `per`, and QueueFull for one limit too many.
        """
        self._set(name, changes).result()

    async def aset(self, name: str, /, **changes: Unpack[LimitFields]) -> None:
        """As `set`, for coroutines."""
        await self._set(name, changes).aresult()

    def get(self, name: str, /) -> Limit:
        """What is set, and how far it is used. Raises ProtocolError if there is no such limit."""
        return limit_of(self._ask(_name(name)).result().limits[0])

    async def aget(self, name: str, /) -> Limit:
        """As `get`, for coroutines."""
        return limit_of((await self._ask(_name(name)).aresult()).limits[0])

    def list(self) -> builtins.list[Limit]:
        """All limits, by name."""
        return [limit_of(told) for told in self._ask("").result().limits]

    async def alist(self) -> builtins.list[Limit]:
        """As `list`, for coroutines."""
        return [limit_of(told) for told in (await self._ask("").aresult()).limits]

    def pause(self, name: str, /, until: datetime | None = None) -> None:
        """Hand out none of its tasks, until an aware datetime or until `resume`.

        What runs, and what a worker holds ahead, goes on. In the past it ends a pause. Raises
        TypeError for a naive datetime, and ProtocolError if there is no such limit.
        """
        self._pause(name, until).result()

    async def apause(self, name: str, /, until: datetime | None = None) -> None:
        """As `pause`, for coroutines."""
        await self._pause(name, until).aresult()

    def resume(self, name: str, /) -> None:
        """End its pause. Raises ProtocolError if there is no such limit."""
        self._resume(name).result()

    async def aresume(self, name: str, /) -> None:
        """As `resume`, for coroutines."""
        await self._resume(name).aresult()

    def delete(self, name: str, /) -> bool:
        """Forget it: it holds back nothing any more. False if there is no such limit.

        Tasks that name it and wait go on; new ones are refused. Set anew it counts what runs.
        """
        return bool(self._delete(name).result().deleted)

    async def adelete(self, name: str, /) -> bool:
        """As `delete`, for coroutines."""
        return bool((await self._delete(name).aresult()).deleted)

    # ---- requests -----------------------------------------------------------------------------

    def _set(self, name: str, given: Mapping[str, object]) -> Reply[LimitSet]:
        if unknown := given.keys() - set(FIELDS):
            raise TypeError(
                f"no such setting: {', '.join(sorted(unknown))}; the settings are"
                f" {', '.join(FIELDS)}"
            )
        if not given:
            raise TypeError(f"at least one of {', '.join(FIELDS)} is required")
        for setting, value in given.items():
            _check(setting, value)
        return self.caller.call(SetLimit(0, _name(name), changes(**given)), LimitSet)

    def _ask(self, name: str) -> Reply[LimitsTold]:
        return self.caller.call(AskLimits(0, name), LimitsTold)

    def _pause(self, name: str, until: datetime | None) -> Reply[LimitPaused]:
        at = 0 if until is None else instant("until", until)
        return self.caller.call(PauseLimit(0, _name(name), at), LimitPaused)

    def _resume(self, name: str) -> Reply[LimitResumed]:
        return self.caller.call(ResumeLimit(0, _name(name)), LimitResumed)

    def _delete(self, name: str) -> Reply[LimitDeleted]:
        return self.caller.call(DeleteLimit(0, _name(name)), LimitDeleted)


def _name(value: object) -> str:
    name = label("limit", value, NAME_MAX)
    if wrong := name_objection(name):
        raise ValueError(wrong)
    return name


def _check(setting: str, value: object) -> None:
    """Raises TypeError, ValueError."""
    if value is None:
        return
    expected = int if setting in ("concurrency", "burst") else str
    if wrong := objection(setting, value):
        raise (ValueError if type(value) is expected else TypeError)(wrong)


def limit_of(told: ToldLimit) -> Limit:
    """As people are told of it."""
    ends = 0 < told.paused_until < ENDLESS
    return Limit(
        name=told.name,
        concurrency=told.concurrency or None,
        rate=told.rate or None,
        burst=told.burst,
        per=told.per or None,
        paused=told.paused_until > 0,
        paused_until=datetime.fromtimestamp(told.paused_until / 1000, UTC) if ends else None,
        running=told.running,
        in_use=told.gates,
    )
