"""Methods that are one request about a named thing, declared once for sync and async callers.

purge, apurge = asking(PurgeQueue, QueuePurged, lambda told: told.purged)
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar, overload

from raftwork.client.reply import Reply

if TYPE_CHECKING:
    from raftwork.client.caller import Caller
    from raftwork.messages.request import Request

R = TypeVar("R")
T = TypeVar("T")


class Named(Protocol):
    """Something that requests refer to by its name."""

    @property
    def name(self) -> str:
        """The name the request is about."""
        ...

    @property
    def caller(self) -> "Caller":
        """What sends the request."""
        ...


@dataclass(frozen=True)
class Method(Generic[R, T]):
    """A method that makes a request. Raises Unavailable without a leader, and its refusal."""

    request: "Callable[[int, str], Request]"
    reply: type[R]
    value: Callable[[R], T]

    def ask(self, of: Named) -> Reply[R]:
        """Make the request."""
        return of.caller.call(self.request(0, of.name), self.reply)

    @overload
    def __get__(self, of: None, owner: object = None) -> Self: ...
    @overload
    def __get__(self, of: Named, owner: object = None) -> Callable[[], T]: ...
    def __get__(self, of: Named | None, owner: object = None) -> Self | Callable[[], T]:
        if of is None:
            return self

        def method() -> T:
            return self.value(self.ask(of).result())

        method.__doc__ = self.request.__doc__
        return method


class AsyncMethod(Generic[R, T]):
    """As Method, for coroutines."""

    def __init__(self, twin: Method[R, T]) -> None:
        self._ask, self._value, self.__doc__ = twin.ask, twin.value, twin.request.__doc__

    @overload
    def __get__(self, of: None, owner: object = None) -> Self: ...
    @overload
    def __get__(self, of: Named, owner: object = None) -> Callable[[], Coroutine[Any, Any, T]]: ...
    def __get__(
        self, of: Named | None, owner: object = None
    ) -> Self | Callable[[], Coroutine[Any, Any, T]]:
        if of is None:
            return self

        async def method() -> T:
            return self._value(await self._ask(of).aresult())

        method.__doc__ = self.__doc__
        return method


def asking(
    request: "Callable[[int, str], Request]", reply: type[R], value: Callable[[R], T]
) -> tuple[Method[R, T], AsyncMethod[R, T]]:
    """A method that sends `request(number, name)`, and its async twin."""
    method = Method(request, reply, value)
    return method, AsyncMethod(method)
