"""How a capability takes part in the lives of tasks, on every replica. Values, no I/O.

A task whose row has flags (task_flags.py) is looked at by the capabilities whose flags it bears: as
it enters, and once it has its outcome. An ordinary task is looked at by none. What they do is
decided by the entries alone, as all that the machine does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger, Running
    from raftwork.features.effects import Effect
    from raftwork.messages import Extras, Spec, State


@dataclass(slots=True)
class Entering:
    """New tasks on their way into the tables, as the capabilities find and change them.

    They are alike but for their numbers, one after the other, ids and payloads; mostly it is all of
    a batch. One with a unique key is by itself.
    """

    seq: int  # the first one's
    ids: Sequence[str]
    crcs: Sequence[int]
    payloads: Sequence[bytes]
    key: str
    extras: Extras
    created: int  # leader time of the client's first attempt
    flags: int = 0
    #: Machine time before which they are not handed out; in the past they wait at once.
    due: int = 0
    #: Their lane, where they stand by their seqs; 0 is among the ordinary ones.
    lane: int = 0
    gates: str = ""
    #: The name of the only worker that may have them; empty: any may.
    worker: str = ""
    #: They wait for another task, whatever their time.
    blocked: bool = False
    #: Of a flow: whose nodes they are, whose code made them, and so many edges to each are unmet.
    flow: int = 0
    parent: int = 0
    open: int = 0

    @property
    def seqs(self) -> range:
        """Their numbers."""
        return range(self.seq, self.seq + len(self.ids))


class Lifecycle(NamedTuple):
    """What a capability does with tasks as they come and end, in the order of the capabilities.

    `enters` is called for new tasks that are not ordinary ones, and sets `flag` in their flags if
    the capability takes part in their lives. `ended` is called with a task's number and flags once
    it has its outcome: what the capability holds for it goes. `settled` follows once `ended`
    was called for all tasks that end together, for what hangs on the outcome, or on the tasks that
    wait for it. `buried` is called with the numbers of tasks whose results are dropped: what it
    keeps to be looked at goes, too.

    `may_start` is asked, with the task's number, when it is to be handed out: if one says no, it
    waits on. `begins` is called once it is. `attempt_ended` is told that it will wait again, and
    whether its code may have begun.
    """

    flag: int
    enters: Callable[[Ledger, Spec, Entering], None] = lambda _ledger, _spec, _tasks: None
    ended: Callable[[Ledger, int, int], None] = lambda _ledger, _seq, _flags: None
    settled: Callable[[Ledger, int, State, list[Effect]], None] = lambda *_: None
    begins: Callable[[Ledger, Running], None] = lambda _ledger, _run: None
    may_start: Callable[[Ledger, int], bool] = lambda *_: True
    attempt_ended: Callable[[Ledger, int, bool], None] = lambda *_: None
    buried: Callable[[Ledger, Sequence[int]], None] = lambda _ledger, _seqs: None


def entering(
    lifecycles: Sequence[Lifecycle],
) -> tuple[Callable[[Ledger, Spec, Entering], None], ...]:
    """What is to be called for new tasks, without what would do nothing."""
    nothing = Lifecycle(0).enters
    return tuple(each.enters for each in lifecycles if each.enters is not nothing)


class Hooks(NamedTuple):
    """What is to be called for tasks of the same flags, without what would do nothing."""

    may_start: tuple[Callable[[Ledger, int], bool], ...]
    begins: tuple[Callable[[Ledger, Running], None], ...]
    ended: tuple[Callable[[Ledger, int, int], None], ...]
    settled: tuple[Callable[[Ledger, int, State, list[Effect]], None], ...]
    attempt_ended: tuple[Callable[[Ledger, int, bool], None], ...]

    @classmethod
    def of(cls, lifecycles: Sequence[Lifecycle], flags: int) -> Hooks:
        """Of tasks with these flags."""
        mine = [each for each in lifecycles if flags & each.flag]
        nothing = Lifecycle(0)
        return cls(
            tuple(m.may_start for m in mine if m.may_start is not nothing.may_start),
            tuple(m.begins for m in mine if m.begins is not nothing.begins),
            tuple(m.ended for m in mine if m.ended is not nothing.ended),
            tuple(m.settled for m in mine if m.settled is not nothing.settled),
            tuple(m.attempt_ended for m in mine if m.attempt_ended is not nothing.attempt_ended),
        )


class TimerKind(NamedTuple):
    """A kind of timers (table `timer`): its number, and what happens to those that are due.

    `fire` gets the refs of so many as one entry may carry out, in the order of their times; their
    rows are gone already.
    """

    kind: int
    fire: Callable[[Ledger, Sequence[int], list[Effect]], None]
