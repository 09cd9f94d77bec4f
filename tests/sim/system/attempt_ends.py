"""What must be true of attempts whose code says what is to become of them, and of checkpoints.

A Retry is not early, a Reject is final, a Resume counts for nothing, and a checkpoint never goes
back: the next attempt finds the last one that was kept. Fed by what code did and what was applied.
"""

from collections import Counter
from collections.abc import Sequence
from typing import cast

from raftwork.broker.machine.commands import Expire, Fail, HoldBack, Lose, Postpone
from raftwork.features.checkpoints import Note, Verdict
from raftwork.features.effects import CheckpointDecided, Effect
from raftwork.features.upgrade import Raise
from raftwork.messages import LimitReached, Outcome, RetryAsked, decode_ending
from raftwork.wire import unpack
from tests.sim.system.promises import require

#: What the code of a task leaves: its id, and how many checkpoints that makes.
Left = tuple[str, int]


class AttemptEnds:
    """The model. Tokens are those that were ever handed out."""

    def __init__(self, reached: Counter[str]) -> None:
        self._reached = reached
        self._time = 0  # machine time, as far as anybody has applied it
        self._level = 0
        self._not_before: dict[int, int] = {}  # by token: when the next attempt may come
        self._due: dict[str, int] = {}  # … and by the task's id
        self._rejected: set[int] = set()
        #: Whether the command being looked at ends attempts of whose code nobody has heard.
        self._unheard = False
        self._resumed: set[int] = set()
        self._left: dict[str, int] = {}  # by the task's id
        self._kept: dict[int, int] = {}  # by token: the number of the last that was kept

    # ---- what code did --------------------------------------------------------------------------

    def began(self, token: int, task: str, found: Left | None, *, current: bool) -> None:
        """An attempt begins, and finds this checkpoint."""
        if not current:  # it is over: what another one left since is not its matter
            return
        left = self._left.get(task, 0)
        text = f"{task} finds {found} under {token}, and {left} were left"
        require((found or (task, 0)) == (task, left), "checkpoints", text)
        self._reached["checkpoint found"] += found is not None

    def ended(self, outcome: Outcome) -> None:
        """Its code raised."""
        ending = decode_ending(outcome.data)
        if isinstance(ending, RetryAsked | LimitReached):
            self._not_before[outcome.token] = self._time + ending.after
        elif outcome.final:
            self._rejected.add(outcome.token)
        elif ending.in_words().type == "Resume" and self._level >= 2:
            self._resumed.add(outcome.token)

    def told(self, token: int, number: int, verdict: Verdict) -> None:
        """Its code learns what became of a checkpoint."""
        kept = self._kept.get(token, 0)
        text = f"number {number} of {token} is said to be kept, and {kept} is"
        require(verdict is not Verdict.KEPT or kept >= number, "checkpoints", text)
        self._reached[f"checkpoint {verdict.name.lower()}"] += 1

    # ---- what was applied -----------------------------------------------------------------------

    def entry(self, time: int) -> None:
        """An entry of this time is applied for the first time."""
        self._time = max(self._time, time)
        self._unheard = False

    def command(
        self, command: object, effects: Sequence[Effect], task: str, *, gated: bool
    ) -> None:
        """One of its commands; `task` is that of its token, `gated` whether limits count it."""
        self._unheard = isinstance(command, Lose | Expire)
        match command:
            case Raise():
                self._level = command.level
            case Note():
                effect = effects[0]  # behind that of an entry's last command stand those of gates
                assert isinstance(effect, CheckpointDecided)
                if effect.verdict is Verdict.KEPT:
                    self._keeps(command, task)
            case Postpone():
                resumed = command.token in self._resumed
                require(resumed, "resumes", f"{task} is put off, and did not ask for it")
                self._reached["resumed"] += 1
            case HoldBack():
                due = self._not_before[command.token]
                text = f"{task} is held back until {command.until}, and not before {due} was asked"
                require(command.until >= due, "pauses", text)
                if not gated:  # else its limits are what it waits for
                    self._due[task] = due
            case Fail():
                resumed = command.token in self._resumed
                require(not resumed, "resumes", f"{task} failed, and wants to go on")
                if command.token in self._not_before:
                    self._due[task] = self._not_before[command.token]
            case _:
                pass

    def _keeps(self, command: Note, task: str) -> None:
        mine, count = cast("Left", tuple(cast("list[object]", unpack(command.value))))
        before = self._left.get(task, 0)
        text = f"{task} has {before} checkpoints, and now that of {mine}, {count}"
        require(mine == task and count >= before, "checkpoints", text)
        self._left[task] = count
        self._kept[command.token] = command.number

    def assigned(self, task: str) -> None:
        """A task is handed out."""
        due = self._due.pop(task, 0)
        text = f"{task} comes at {self._time}, and not before {due} was asked for"
        require(self._time >= due, "pauses", text)
        self._reached["came after the pause that was asked for"] += due > 0

    def closed(self, token: int, task: str) -> None:
        """An attempt is over, and the task waits again.

        One that was rejected may do so only if its worker vanished, or its time was up, before
        anybody heard how its code had ended.
        """
        rejected = token in self._rejected
        text = f"{task} was rejected, and waits again"
        require(not rejected or self._unheard, "rejects", text)
        self._reached["rejected unheard"] += rejected

    def failed(self, token: int, task: str, left: int) -> None:
        """A task has failed for good, with so many retries left."""
        self._reached["rejected for good"] += token in self._rejected
        text = f"{task} has failed under {token} with {left} retries left"
        require(left < 0 or token in self._rejected, "resumes", text)
