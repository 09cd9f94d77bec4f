"""Calls of other tasks by a task, under ids that are the same in each of its attempts."""

from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID, uuid5

from raftwork.errors import NotDeterministic, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raftwork.client.task import BoundTask

T = TypeVar("T")

#: The namespace of these ids; never to be changed: attempts of two releases must agree.
_CALLS: Final = UUID("8b0f6f1e-6a0f-4d5c-9d0c-6f6a53c0a6d1")


def child_id(parent: str, call: int) -> str:
    """The id of what the task `parent` calls as its first, second, …: a UUID of version 5."""
    return str(uuid5(_CALLS, f"{parent}\n{call}"))


async def outcome_of(
    task: "BoundTask[..., T]",
    id: str,  # noqa: A002
    number: int,
    args: "Sequence[object]",
    kwargs: "Mapping[str, object]",
) -> T:
    """Enqueue the task under this id, unless an earlier attempt did; its value."""
    try:
        run = await task.identified(id).aenqueue(*args, **kwargs)
    except ProtocolError as error:
        if "with other contents" not in str(error):
            raise
        raise NotDeterministic(
            f"not deterministic: call {number} of this task is now {task.name} with other"
            f" arguments, or another task or options, than in an earlier attempt (id {id})"
        ) from error
    return await run.aresult()
