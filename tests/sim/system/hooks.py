"""Being told of calls of a function that leaves no other trace."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, NamedTuple, Protocol


class Hook(NamedTuple):
    """`note` is called with the arguments of `owner.name`, before it is."""

    owner: object
    name: str
    note: Callable[..., None]


class ConsensusReach(Protocol):
    """Counts what is rare in one consensus protocol."""

    def leaves(self, body: bytes) -> None:
        """A message leaves."""
        ...

    def hooks(self) -> tuple[Hook, ...]: ...


@contextmanager
def hooked(hooks: Sequence[Hook]) -> Iterator[None]:
    with ExitStack() as stack:
        for hook in hooks:
            stack.enter_context(_before(*hook))
        yield


@contextmanager
def _before(owner: object, name: str, note: Callable[..., None]) -> Iterator[None]:
    original: Any = getattr(owner, name)

    @wraps(original)
    def wrapper(*args: Any, **named: Any) -> Any:
        note(*args, **named)
        return original(*args, **named)

    setattr(owner, name, wrapper)
    try:
        yield
    finally:
        setattr(owner, name, original)
