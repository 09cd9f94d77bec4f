"""A unique key that only its period keeps is given up before that is over.

A task that has the key keeps it: until its outcome there is one of a kind, whoever asks for what.
Its period is over then, and the key goes with it.
"""

from typing import TYPE_CHECKING, Annotated, NamedTuple

from raftwork.features import unique_keys
from raftwork.features.effects import Done
from raftwork.features.task_batch import check_level
from raftwork.messages import ID_MAX
from raftwork.messages.bounds import Between, Name
from raftwork.messages.registry import command, reply, request

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.effects import Effect
    from raftwork.features.feature import Feature


@reply(116)
class KeyFreed(NamedTuple):
    """The period of the key is over."""

    request: int
    freed: int  # 1; 0 if nothing kept it, or if an unfinished task has it


@request(116, reply=KeyFreed)
class FreeKey(NamedTuple):
    """End the period for which the tasks of this name in this queue have no second of a key."""

    request: int
    queue: Name
    name: Name
    key: Annotated[str, Between(1, ID_MAX)]


@command(116, since=2)
class EndPeriod(NamedTuple):
    """As FreeKey."""

    queue: str
    name: str
    key: str


def _check(view: "View", request: FreeKey) -> EndPeriod:
    check_level(view.state, "unique keys need")
    return EndPeriod(*request[1:])


def _answer(_view: "View", request: FreeKey, done: Done) -> KeyFreed:
    return KeyFreed(request.request, done.affected)


def _end(ledger: "Ledger", command: EndPeriod, _effects: "list[Effect]") -> Done:
    return Done(int(unique_keys.end_period(ledger, *command)))


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.command_line import Argument, CommandLine
    from raftwork.features.feature import Feature, change, transition

    return Feature(
        "unique keys that are freed",
        rules=[change(FreeKey, _check, _answer)],
        transitions=[transition(EndPeriod, _end)],
        command_lines=[
            CommandLine(
                path=("queue", "free-key"),
                request=FreeKey,
                reply=KeyFreed,
                help="Free a unique key of a task's name that only its period keeps.\n\nPrints 1, "
                "or 0 if nothing kept it, or if an unfinished task has it: then its period is "
                "over, and it goes with that task.",
                example="raftwork queue free-key default shop.invoice order-7",
                arguments=(Argument("queue"), Argument("name"), Argument("key")),
                says="keys freed: {freed}",
            )
        ],
    )
