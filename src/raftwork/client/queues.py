"""A queue as a program sees it: its settings at run time."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from raftwork.client.methods import asking
from raftwork.client.options import queue_name, task_key
from raftwork.client.reply import Reply
from raftwork.features.lanes import KeyResumed, ResumeKey
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

    def __repr__(self) -> str:
        return f"<Queue {self.name}>"

    # ---- requests -----------------------------------------------------------------------------

    def _resume_key(self, key: str) -> Reply[KeyResumed]:
        return self.caller.call(ResumeKey(0, self.name, task_key(key)), KeyResumed)

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
