"""What a capability is made of: rules for requests, and what commands do. Values, no I/O.

A rule says how the active leader deals with a request; the request processor does the rest of it:
it measures requests and bounds what is under way, knows repeated ones, asks for read barriers,
sends refusals and answers (raftwork/broker/requests/request_processor.py). The kinds of rules:

    change      becomes a command in the log, and is answered when that is applied
    read        is answered behind a read barrier: a deposed leader would answer with stale state
    wait        is looked at in every turn until it can be answered
    subscribe   is answered at once, and goes on behind a read barrier

A rule refuses with an error of `REFUSALS`; its text is for people and says both numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, cast

from raftwork.errors import (
    PayloadTooLarge,
    ProtocolError,
    QueueFull,
    UnknownSchedule,
    UnknownTask,
    UnknownWorker,
)
from raftwork.features.command_line import CommandLine
from raftwork.features.effects import Done, Effect, Reply
from raftwork.messages.registry import Command, Frame

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.lifecycle import Lifecycle, TimerKind
    from raftwork.features.why_it_waits import WhyItWaits

Q = TypeVar("Q", bound=Frame)
A = TypeVar("A", bound=Frame)
C = TypeVar("C", bound=Command)

#: What a rule or a command may refuse with; the client is told by its code. BadMessage is none: in
#: the log it stops the replica, so a rule lets nothing in that raises it there.
REFUSALS = (
    ProtocolError,
    PayloadTooLarge,
    QueueFull,
    UnknownTask,
    UnknownWorker,
    UnknownSchedule,
)


class Deferred(Protocol):
    """A command that is complete only when the turn's entry is made, or one of several."""

    def command(self, view: View, /) -> Command:
        """What to propose now."""
        ...

    def applied(self, view: View, reply: Reply, /) -> Reply | None:
        """What was proposed is applied, or refused: the change's fate, or None if it goes on.

        What goes on is proposed again, in a later entry, by its next `command`: so a change that
        is large holds up nothing else.
        """
        ...


class Chore(Protocol):
    """What an active leader does for a capability by itself, in its turns. Made anew by each one.

    It must bound what it does in a turn: clients wait meanwhile.
    """

    @property
    def wake_at(self) -> int | None:
        """The leader time at which `commands` has something to do next; None if nothing is."""
        ...

    def commands(self) -> Sequence[Command]:
        """What to propose now. The view's time is that of this turn."""
        ...

    def follow(self, effect: Effect) -> None:
        """Something that it may have a part in was applied."""
        ...

    def troubles(self) -> Sequence[str]:
        """What it could not do since the last call, for people."""
        ...


#: A read by slices: it yields the cost of each (1 is about 10 µs), and returns the answer.
Slices = Generator[int, None, Frame | None]

Check = Callable[["View", Q], "Command | Deferred | Done"]
Answer = Callable[["View", Q, Done], Frame]
Begin = Callable[["View", bytes, Q], "tuple[Frame, Slices | None]"]


class Change(NamedTuple):
    """`check` returns what to propose, or Done if the change stands already.

    `subscribe` has the session told more from now on: it gets the routing id and the answer, and
    returns the answer to send. It is called for sessions that are still there.

    A request that `waits` is dealt with once every worker had the time to say hello to this leader.
    One that `grows` enters new work, and is refused while the disks have no room for that, or the
    sender's key has no more tasks for now: it tells how many it makes, 0 for what cannot be read.
    Where that is known only once it is done, it tells the most there could be, and `made` the rest.
    One that `scans` looks through all tasks for those that it means, part by part: it is counted
    apart from the others of its feature, and its parts go beside theirs, so none waits for it.
    """

    request: type[Frame]
    check: Check[Frame]
    answer: Answer[Frame]
    subscribe: Callable[[View, bytes, Frame, Frame], Frame] | None = None
    waits: Callable[[Frame], bool] | None = None
    grows: Callable[[View, Frame], int] | None = None
    made: Callable[[Done], int] | None = None
    scans: Callable[[Frame], bool] | None = None


class Read(NamedTuple):
    """`work` is the cost of finishing the answer, besides that of the slices."""

    request: type[Frame]
    slices: Callable[[View, Frame], Slices]
    work: int


class Wait(NamedTuple):
    """`polls` is resumed until it returns the answer: in each turn, and in every one is looked.

    Without `each_turn` it is resumed only where something happened, or some time passed: it has
    no turn made for it, and so may wait long.
    """

    request: type[Frame]
    polls: Callable[[View, Frame], Generator[None, None, Frame]]
    each_turn: bool = True


class Subscribe(NamedTuple):
    """`begin` gets the session's routing id; it returns the answer, and what is left to read."""

    request: type[Frame]
    begin: Begin[Frame]


Rule = Change | Read | Wait | Subscribe


def change(
    request: type[Q],
    check: Check[Q],
    answer: Callable[[View, Q, Done], A],
    subscribe: Callable[[View, bytes, Q, A], A] | None = None,
    waits: Callable[[Q], bool] | None = None,
    *,
    grows: Callable[[View, Q], int] | None = None,
    made: Callable[[Done], int] | None = None,
    scans: Callable[[Q], bool] | None = None,
) -> Rule:
    """A request that becomes a command. See Change."""
    return Change(
        request,
        cast("Check[Frame]", check),
        cast("Answer[Frame]", answer),
        cast("Callable[[View, bytes, Frame, Frame], Frame] | None", subscribe),
        cast("Callable[[Frame], bool] | None", waits),
        cast("Callable[[View, Frame], int] | None", grows),
        made,
        cast("Callable[[Frame], bool] | None", scans),
    )


def read(request: type[Q], answer: Callable[[View, Q], Frame], work: int = 1) -> Rule:
    """A read that is answered in one go; `work` is its cost (1 is about 10 µs)."""

    def slices(view: View, asked: Frame) -> Slices:
        yield from ()
        return answer(view, cast("Q", asked))

    return Read(request, slices, work)


def read_by_slices(request: type[Q], slices: Callable[[View, Q], Slices]) -> Rule:
    """A read with an answer that takes longer than a turn may."""
    return Read(request, cast("Callable[[View, Frame], Slices]", slices), work=1)


def wait(
    request: type[Q],
    polls: Callable[[View, Q], Generator[None, None, Frame]],
    *,
    each_turn: bool = True,
) -> Rule:
    """A request that is answered once a condition holds. See Wait."""
    made = cast("Callable[[View, Frame], Generator[None, None, Frame]]", polls)
    return Wait(request, made, each_turn)


def subscribe(request: type[Q], begin: Begin[Q]) -> Rule:
    """A request that is answered at once and told more later. See Subscribe."""
    return Subscribe(request, cast("Begin[Frame]", begin))


class Transition(NamedTuple):
    """What a command does on every replica, at this entry's time."""

    command: type[Command]
    apply: Callable[[Ledger, Command, list[Effect]], Done | None]


def transition(
    command: type[C], apply: Callable[[Ledger, C, list[Effect]], Done | None]
) -> Transition:
    """`apply` checks everything before it changes anything, and refuses by an error of REFUSALS."""
    return Transition(
        command, cast("Callable[[Ledger, Command, list[Effect]], Done | None]", apply)
    )


class Budget(NamedTuple):
    """What a capability's requests under way may cost a leader together.

    `bytes` are those of their frames and `REQUEST_BYTES` for each; ids in lists count `ITEM_BYTES`
    each besides.
    """

    requests: int = 1_000
    bytes: int = 16 * 1024 * 1024


#: What holds back a task of this number that has not begun: for each thing that it needs and
#: cannot get, the numbers of the tasks that have it. It goes on once one of them gives it back; for
#: what it needs from each of several tasks there is an item each. Asked on the leader, of clusters
#: at level 2, to find tasks that wait for each other (raftwork/broker/workers/deadlocks.py).
Holds = Callable[["Ledger", int], Iterable[Sequence[int]]]


class Feature(NamedTuple):
    """One capability. `about` says what its requests are about, in refusals."""

    about: str
    rules: Sequence[Rule] = ()
    transitions: Sequence[Transition] = ()
    budget: Budget = Budget()
    #: Those of its requests that workers may make.
    worker_requests: Sequence[type[Frame]] = ()
    command_lines: Sequence[CommandLine] = ()
    #: What a new leadership proposes first: it serves once that is applied.
    begins: Callable[[View], Sequence[Command]] = lambda _view: ()
    #: What a leader does for it by itself.
    chore: Callable[[View], Chore] | None = None
    #: Its part in the lives of tasks, and the timers that it sets.
    lifecycles: Sequence[Lifecycle] = ()
    timers: Sequence[TimerKind] = ()
    #: Why it may hold a task back (why_it_waits.py).
    reasons: Sequence[WhyItWaits] = ()
    #: How it holds tasks back that have not begun, if it does.
    holds: Holds | None = None
