"""A queue as a program sees it: its settings at run time."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

from raftwork.client.methods import asking
from raftwork.client.options import label, queue_name, task_key
from raftwork.client.per_call import instant
from raftwork.client.reply import Reply
from raftwork.client.uniqueness import key_of, unique_key
from raftwork.features.free_key import FreeKey, KeyFreed
from raftwork.features.lanes import KeyResumed, ResumeKey
from raftwork.features.pause_queue import (
    DeleteQueue,
    PauseQueue,
    QueueDeleted,
    QueueGoesOn,
    QueuePaused,
    ResumeQueue,
)
from raftwork.features.purge_queue import PurgeQueue, QueuePurged
from raftwork.features.queue_settings import (
    SETTINGS,
    AskQueue,
    QueueSet,
    SetQueue,
    SettingsTold,
    objection,
    settings_of,
)
from raftwork.features.queue_settings import QueueSettings as QueueSettings
from raftwork.features.queue_settings import changes as packed
from raftwork.messages import NAME_MAX
from raftwork.wire import pack

if TYPE_CHECKING:
    from raftwork.client.caller import Caller

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


def _takes_fields_of(
    _record: Callable[P, object],
) -> Callable[[Callable[Concatenate[S, ...], T]], Callable[Concatenate[S, P], T]]:
    """Have type checkers see the record's fields as the arguments of a method."""
    return lambda method: method


def _settings(answer: SettingsTold) -> QueueSettings:
    return settings_of(answer.settings)


def _nothing(_told: object) -> None:
    """The answer is that it is done."""


class Queue:
    """One queue. Made by `App.queue`.

    Every method raises Unavailable if no leader answers in the App's timeout.
    """

    def __init__(self, app: "Caller", name: str) -> None:
        self.caller = app
        self.name = queue_name(name)

    @_takes_fields_of(QueueSettings)
    def set(self, **changes: object) -> None:
        """Change its settings, the fields of QueueSettings, at once and for every later leader.

        None clears a setting; what is not given stays. Tasks that wait already stay, whatever the
        limits; new ones are refused while they would not fit. Raises TypeError and ValueError for
        invalid settings, ProtocolError for a balancer that the brokers do not know, and
        QueueFull for one queue too many.
        """
        self._set(changes).result()

    @_takes_fields_of(QueueSettings)
    async def aset(self, **changes: object) -> None:
        """As `set`, for coroutines."""
        await self._set(changes).aresult()

    settings, asettings = asking(AskQueue, SettingsTold, _settings)
    """What is set now."""

    purge, apurge = asking(PurgeQueue, QueuePurged, lambda told: told.purged)
    """Drop the tasks that wait; returns how many. Their results are failures of type Purged.

    Raises QueueFull while too many purges are under way.
    """

    def resume_key(self, key: str) -> bool:
        """Go on with the ordered tasks of a key that a failure halted (`on_failure="halt"`).

        False if it was not halted. Raises TypeError and ValueError for what is no key.
        """
        return bool(self._resume_key(key).result().resumed)

    async def aresume_key(self, key: str) -> bool:
        """As `resume_key`, for coroutines."""
        return bool((await self._resume_key(key).aresult()).resumed)

    def free_key(
        self,
        name: str,
        key: str | Literal[True],
        *,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] = MappingProxyType({}),
    ) -> bool:
        """Free a unique key of the tasks of this name that only its `period` keeps.

        With `key` True it is that of a call with these arguments. False if nothing kept it, or if
        an unfinished task has it: its period is over then, and it goes with that task. Raises
        TypeError and ValueError for what is no key.
        """
        return bool(self._free_key(name, key, args, kwargs).result().freed)

    async def afree_key(
        self,
        name: str,
        key: str | Literal[True],
        *,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] = MappingProxyType({}),
    ) -> bool:
        """As `free_key`, for coroutines."""
        return bool((await self._free_key(name, key, args, kwargs).aresult()).freed)

    def pause(self, until: datetime | None = None) -> None:
        """Hand out nothing of it, until an aware datetime or until `resume`.

        What runs, and what a worker holds ahead, goes on; enqueues are taken in. In the past it
        ends a pause. Raises TypeError for a naive datetime, and QueueFull for one queue too many.
        """
        self._pause(until).result()

    async def apause(self, until: datetime | None = None) -> None:
        """As `pause`, for coroutines."""
        await self._pause(until).aresult()

    resume, aresume = asking(ResumeQueue, QueueGoesOn, _nothing)
    """Hand out its tasks again."""

    delete, adelete = asking(DeleteQueue, QueueDeleted, _nothing)
    """Forget it, with its settings and counters. Its next task makes it anew.

    Raises ProtocolError while it has tasks without an outcome, or dead ones.
    """

    def __repr__(self) -> str:
        return f"<Queue {self.name}>"

    # ---- requests -----------------------------------------------------------------------------

    def _resume_key(self, key: str) -> Reply[KeyResumed]:
        return self.caller.call(ResumeKey(0, self.name, task_key(key)), KeyResumed)

    def _free_key(
        self, name: str, key: object, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> Reply[KeyFreed]:
        wanted = unique_key(key)
        if wanted is True:
            wanted = key_of(pack([list(args), dict(kwargs)]))
        elif args or kwargs:
            raise TypeError("args and kwargs are for key=True: they are the key then")
        if not wanted:
            raise TypeError(f"key must be a str or True, got {key!r}")
        request = FreeKey(0, self.name, label("name", name, NAME_MAX), wanted)
        return self.caller.call(request, KeyFreed)

    def _pause(self, until: datetime | None) -> Reply[QueuePaused]:
        at = 0 if until is None else instant("until", until)
        return self.caller.call(PauseQueue(0, self.name, at), QueuePaused)

    def _set(self, changes: Mapping[str, object]) -> Reply[QueueSet]:
        if unknown := changes.keys() - SETTINGS.keys():
            valid = ", ".join(SETTINGS)
            raise TypeError(
                f"no such setting: {', '.join(sorted(unknown))}; the settings are {valid}"
            )
        if not changes:
            raise TypeError("at least one setting is required")
        values: dict[str, Any] = {name: _checked(name, value) for name, value in changes.items()}
        return self.caller.call(SetQueue(0, self.name, packed(**values)), QueueSet)


def _checked(name: str, value: object) -> object:
    """The value as brokers take it. Raises TypeError, ValueError."""
    setting = SETTINGS[name]
    if value is None:
        return None
    if type(value) is not setting.kind:
        expected = setting.kind.__name__
        raise TypeError(f"{name} must be {_article(expected)} or None, got {type(value).__name__}")
    if wrong := objection(name, value):
        raise ValueError(wrong)
    return dict(sorted(value.items())) if isinstance(value, dict) else value


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
