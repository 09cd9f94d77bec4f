"""What clients ask of schedules, what they are told, and what stands in the log."""

from typing import Annotated, Final, NamedTuple

from raftwork.features.schedule_plan import SCHEDULE_ID_MAX, Overlap
from raftwork.features.task_batch import AT_MAX_MS
from raftwork.messages import ID_MAX, NAME_MAX
from raftwork.messages.bounds import Between, Id
from raftwork.messages.registry import command, reply, request

#: Of one request: each asks the calendar.
DECLARED_MAX: Final = 100
#: Of one answer.
LISTED_MAX: Final = 100
#: Instants of one answer.
NEXT_MAX: Final = 1_000
#: Of one backfill.
BACKFILL_MAX: Final = 10_000
#: Ids that a prune names.
KEPT_MAX: Final = 10_000
#: Of a packed Fields: a task's arguments, its Spec and a little.
_FIELDS_BYTES_MAX: Final = 2 * 1024 * 1024

ScheduleId = Annotated[str, Between(1, SCHEDULE_ID_MAX)]
_FieldsBytes = Annotated[bytes, Between(0, _FIELDS_BYTES_MAX)]
_Instant = Annotated[int, Between(0, AT_MAX_MS)]
_Source = Annotated[str, Between(1, NAME_MAX)]


class Declared(NamedTuple):
    """A schedule as code declares it: packed Fields."""

    id: ScheduleId
    fields: bytes


class ScheduleFacts(NamedTuple):
    """A schedule as it is. Instants are leader time, 0 is none."""

    id: str
    source: str
    declared: bytes
    override: bytes
    version: int
    next: int
    last: int
    paused: bool
    fired: int
    overlap: int
    late: int
    paused_ticks: int
    full: int


@reply(160)
class ScheduleStands(NamedTuple):
    """It is as was asked for."""

    request: int
    version: int


@request(160, reply=ScheduleStands)
class CreateSchedule(NamedTuple):
    """Make a schedule that no code declares."""

    request: int
    id: ScheduleId
    fields: _FieldsBytes


@reply(161)
class SchedulesDeclared(NamedTuple):
    """What became of each: `created`, `changed`, `same` or `differs`, by id."""

    request: int
    fates: list[tuple[str, str]]


@request(161, reply=SchedulesDeclared)
class DeclareSchedules(NamedTuple):
    """Create those that are missing; with `apply` the others are as declared, too."""

    request: int
    source: _Source
    schedules: Annotated[list[Declared], Between(0, DECLARED_MAX)]
    apply: bool = False


@request(162, reply=ScheduleStands)
class UpdateSchedule(NamedTuple):
    """Override what is said here; `reset` drops what was overridden before.

    `version` is the one that was read; 0 is any.
    """

    request: int
    id: ScheduleId
    fields: _FieldsBytes
    version: int
    reset: bool = False


@request(163, reply=ScheduleStands)
class PauseSchedule(NamedTuple):
    """Its ticks make no tasks, or do again; `catchup` makes up for those of the pause."""

    request: int
    id: ScheduleId
    paused: bool
    catchup: bool = False


@reply(164)
class ScheduleTriggered(NamedTuple):
    """Whether there is a task of this trigger."""

    request: int
    made: bool


@request(164, reply=ScheduleTriggered)
class TriggerSchedule(NamedTuple):
    """Make a task with this id now, as if it ticked."""

    request: int
    id: ScheduleId
    task: Id
    overlap: Overlap | None = None  # as the schedule says


@reply(165)
class ScheduleBackfilled(NamedTuple):
    """So many tasks were made."""

    request: int
    made: int


@request(165, reply=ScheduleBackfilled)
class BackfillSchedule(NamedTuple):
    """Make the tasks of the ticks from `start` to `end` whose ids are not known."""

    request: int
    id: ScheduleId
    start: _Instant
    end: _Instant
    overlap: Overlap


@request(166, reply=ScheduleStands)
class DeleteSchedule(NamedTuple):
    """Forget a schedule. The tasks that it made stay."""

    request: int
    id: ScheduleId


@reply(167)
class SchedulesTold(NamedTuple):
    """Schedules in the order of their ids; `more` says whether there are further ones."""

    request: int
    schedules: list[ScheduleFacts]
    more: bool


@request(167, reply=SchedulesTold)
class ListSchedules(NamedTuple):
    """The schedules whose ids are greater than `after` (linearizable)."""

    request: int
    after: Annotated[str, Between(0, ID_MAX)] = ""


@request(168, reply=SchedulesTold)
class ShowSchedule(NamedTuple):
    """One schedule (linearizable)."""

    request: int
    id: ScheduleId


@reply(169)
class TicksTold(NamedTuple):
    """Instants, leader time."""

    request: int
    ticks: list[int]


@request(169, reply=TicksTold)
class NextTicks(NamedTuple):
    """The next ticks of a schedule, so many."""

    request: int
    id: ScheduleId
    many: Annotated[int, Between(1, NEXT_MAX)] = 10


@request(170, reply=SchedulesDeclared)
class PruneSchedules(NamedTuple):
    """Delete what this code declared once and does not any more."""

    request: int
    source: _Source
    kept: Annotated[list[ScheduleId], Between(0, KEPT_MAX)]


@command(160, since=2)
class Create(NamedTuple):
    """As CreateSchedule."""

    id: str
    fields: bytes


@command(161, since=2)
class Declare(NamedTuple):
    """As DeclareSchedules."""

    source: str
    schedules: list[Declared]
    apply: bool


@command(162, since=2)
class Update(NamedTuple):
    """As UpdateSchedule."""

    id: str
    fields: bytes
    version: int
    reset: bool


@command(163, since=2)
class SetPaused(NamedTuple):
    """As PauseSchedule."""

    id: str
    paused: bool
    catchup: bool


@command(164, since=2)
class Trigger(NamedTuple):
    """As TriggerSchedule."""

    id: str
    task: str
    overlap: Overlap | None


@command(165, since=2)
class Backfill(NamedTuple):
    """Make the tasks of these ticks of a schedule, if they are not known."""

    id: str
    ticks: list[int]
    overlap: Overlap


@command(166, since=2)
class DropSchedules(NamedTuple):
    """Forget these, as far as they are there; `known`: the one must be."""

    ids: list[str]
    known: bool = False
