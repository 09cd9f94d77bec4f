"""After which exceptions a task is tried again, by its options."""

from collections.abc import Collection
from typing import Final

from raftwork.messages.shared import Spec

#: What a passed time limit counts as: the built-in TimeoutError, and what that is derived from.
TIME_LIMIT_KINDS: Final = tuple(
    f"builtins.{kind.__name__}" for kind in TimeoutError.__mro__ if kind is not object
)


def is_retried(spec: Spec, kinds: Collection[str]) -> bool:
    """Whether there may be another attempt after such an exception.

    `kinds` are the names of its class and of all that this is derived from.
    """
    if not spec.no_retry_on and not spec.retry_on:
        return True
    if any(kind in kinds for kind in spec.no_retry_on):
        return False
    return not spec.retry_on or any(kind in kinds for kind in spec.retry_on)
