"""A queue as a program sees it: what is set for it at run time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, Unpack

from raftwork.client.options import queue_name
from raftwork.client.reply import Reply
from raftwork.features import queue_settings
from raftwork.features.queue_settings import AskQueue, SetQueue
from raftwork.messages import NAME_MAX, FromBroker

if TYPE_CHECKING:
    from raftwork.client.app import App

#: What brokers keep.
_LIMIT_MAX = 2**53


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """What is set for a queue; None where nothing is."""

    #: The load balancer of its tasks; without it, the cluster's.
    balancer: str | None = None
    #: Tasks that may wait, those that wait for a retry among them.
    max_length: int | None = None
    #: Bytes of their arguments, packed.
    max_bytes: int | None = None


class SettingFields(TypedDict, total=False):
    """What `Queue.set` changes. None clears a setting; what is not given stays."""

    balancer: str | None
    max_length: int | None
    max_bytes: int | None


class Queue:
    """One queue. Made by `App.queue`.

    Every method raises Unavailable if no leader answers in the App's timeout.
    """

    def __init__(self, app: "App", name: str) -> None:
        self._app = app
        self.name = queue_name(name)

    def set(self, **changes: Unpack[SettingFields]) -> None:
        """Change its settings, at once and for every later leader.

        What waits already stays, whatever the limits; new tasks are refused while they would not
        fit. Raises TypeError and ValueError for what cannot be meant, ProtocolError for a balancer
        that the brokers do not know, and QueueFull for one queue too many.
        """
        self._app.inquire(self._change(changes)).result()

    async def aset(self, **changes: Unpack[SettingFields]) -> None:
        """As `set`, for coroutines."""
        await self._app.inquire(self._change(changes)).aresult()

    def settings(self) -> QueueSettings:
        """What is set now."""
        return _settings(self._ask().result())

    async def asettings(self) -> QueueSettings:
        """As `settings`, for coroutines."""
        return _settings(await self._ask().aresult())

    def __repr__(self) -> str:
        return f"<Queue {self.name}>"

    def _ask(self) -> Reply[FromBroker]:
        return self._app.inquire(AskQueue(0, self.name))

    def _change(self, changes: SettingFields) -> SetQueue:
        if unknown := changes.keys() - SettingFields.__annotations__:
            raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
        if not changes:
            raise TypeError("no setting is given")
        change = SetQueue(0, self.name)
        if "balancer" in changes:
            change = change._replace(balancer=_balancer(changes["balancer"]))
        if "max_length" in changes:
            change = change._replace(max_length=_limit("max_length", changes["max_length"]))
        if "max_bytes" in changes:
            change = change._replace(max_bytes=_limit("max_bytes", changes["max_bytes"]))
        return change


def _balancer(value: object) -> str:
    if value is None:
        return ""
    if type(value) is not str:
        raise TypeError(f"balancer is a str or None, not {type(value).__name__}")
    if not 1 <= len(value) <= NAME_MAX:
        raise ValueError(f"balancer has 1 to {NAME_MAX} characters, not {len(value)}")
    return value


def _limit(what: str, value: object) -> int:
    if value is None:
        return 0
    if type(value) is not int:
        raise TypeError(f"{what} is an int or None, not {type(value).__name__}")
    if not 1 <= value <= _LIMIT_MAX:
        raise ValueError(f"{what} is None or from 1 to {_LIMIT_MAX}, not {value}")
    return value


def _settings(answer: FromBroker) -> QueueSettings:
    assert isinstance(answer, queue_settings.QueueSettings)
    return QueueSettings(answer.balancer, answer.max_length, answer.max_bytes)
