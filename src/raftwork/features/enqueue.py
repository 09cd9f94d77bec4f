"""Tasks enter."""

from typing import NamedTuple

from raftwork.messages.registry import command, reply, request
from raftwork.wire import record_check


class Task(NamedTuple):
    id: str
    payload: bytes
    key: str = ""  # the balancer consistent_hash sends equal ones to the same worker


@reply(4)
class Enqueued(NamedTuple):
    """All tasks of the request are on a majority's disks."""

    request: int


@request(3, reply=Enqueued)
class Enqueue(NamedTuple):
    """Store these tasks, all or none. `tasks` is a packed list of Task."""

    request: int
    created: int  # leader time of the first attempt
    spec: bytes  # a packed Spec
    tasks: bytes


@command(1)
class Admit(NamedTuple):
    """Put tasks into a queue, all or none; ids already known with the same contents are skipped.

    `begin` hands the first of the new tasks out in the same breath, so many to each worker's
    incarnation: a task that nothing waits before needs one commit less until it runs.
    """

    created: int  # leader time of the client's first attempt; older than the window is refused
    spec: bytes
    tasks: bytes  # a packed list of [id, payload] or [id, payload, key], as the client sent it
    begin: list[tuple[bytes, int]] = []  # noqa: RUF012 - never changed, as all of a record


#: Checks one Task of Enqueue.tasks.
task_check = record_check(Task)
