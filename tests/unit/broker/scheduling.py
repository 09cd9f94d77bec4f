"""A leadership with schedules, over virtual time."""

from raftwork.broker.access.access_list import Grant
from raftwork.errors import REFUSALS
from raftwork.features.schedule_plan import Fields, encode_fields
from raftwork.features.schedule_records import (
    CreateSchedule,
    ScheduleFacts,
    ScheduleStands,
    SchedulesTold,
    ShowSchedule,
)
from raftwork.features.schedule_rows import Row
from raftwork.messages import (
    FromBroker,
    Heartbeat,
    Outcome,
    Push,
    PushedTask,
    Refused,
    Spec,
    encode_spec,
)
from raftwork.messages.registry import Frame
from tests.unit.broker.leadership_harness import LeadershipHarness
from tests.unit.broker.queues import Queues

CLIENT = b"client"
#: 2027-01-01T00:00:00Z
NEW_YEAR = 1_798_761_600_000
MINUTE = 60_000
HOUR = 60 * MINUTE


def at(minute: int, second: int = 0, schedule: str = "nightly") -> str:
    """The id of the task of a tick in the year's first hour."""
    return f"{schedule}@2027-01-01T00:{minute:02}:{second:02}Z"


def fields(task: str = "job", queue: str = "default", **said: object) -> Fields:
    spec = Spec(task, queue)
    return Fields(encode_spec(spec), b"\x90", **said)  # type: ignore[arg-type]


def pushed_in(sent: list[FromBroker]) -> list[PushedTask]:
    return [task for message in sent if isinstance(message, Push) for task in message.tasks]


class Scheduling:
    """What a client and a clock do; answers come from a leadership that commits at once."""

    def __init__(self, time: int = NEW_YEAR, queues: Queues | None = None) -> None:
        self.harness = LeadershipHarness(queues, time=time)
        self.numbers, self.works = 0, False
        self._pushed: list[PushedTask] = []

    @property
    def time(self) -> int:
        return self.harness.lead.time(self.harness.now)

    def fail_over(self, after: int = 0, epoch: int = 2) -> None:
        """Another leader, `after` ms later; nobody led meanwhile."""
        time = self.time + after
        self.harness = LeadershipHarness(self.harness.queues, epoch=epoch, time=time)
        self.harness.turn(0)

    # ---- asking ---------------------------------------------------------------------------------

    def ask(self, request: Frame, grant: Grant | None = None) -> FromBroker:
        """Under a key with that grant. Raises what it is refused with."""
        self.numbers += 1
        asked = request._replace(request=self.numbers)  # type: ignore[attr-defined]
        harness = self.harness
        harness.lead.request(CLIENT, asked, 100, harness.now, grant)
        for _ in range(2_000):
            harness.turn(0)
            for token in harness.core.barriers:
                harness.lead.read_ready(token)
            harness.core.barriers.clear()
            sent = harness.sent()
            self._pushed += pushed_in(sent)
            for answer in sent:
                if getattr(answer, "request", None) == self.numbers:
                    if isinstance(answer, Refused):
                        raise REFUSALS[answer.code](answer.text)
                    return answer
            harness.now += 1
        raise AssertionError(f"{request} is not answered")

    def create(self, id_: str = "nightly", **said: object) -> ScheduleStands:
        answer = self.ask(CreateSchedule(0, id_, encode_fields(fields(**said))))  # type: ignore[arg-type]
        assert isinstance(answer, ScheduleStands)
        return answer

    def facts(self, id_: str = "nightly") -> ScheduleFacts:
        answer = self.ask(ShowSchedule(0, id_))
        assert isinstance(answer, SchedulesTold)
        (facts,) = answer.schedules
        return facts

    def row(self, id_: str = "nightly") -> Row:
        return self.harness.queues.machine.state.schedules.get(id_)

    def counts(self, id_: str = "nightly") -> dict[str, int]:
        row = self.row(id_)
        counts = {
            "fired": row.fired,
            "overlap": row.overlap,
            "late": row.late,
            "paused": row.paused_ticks,
            "full": row.full,
        }
        return {name: count for name, count in counts.items() if count}

    def hello(self) -> None:
        """There is a worker from now on."""
        self.harness.hello()
        self.works = True

    def _beat(self) -> None:
        if self.works:
            beat = Heartbeat(1, None, None, None, 0, 0, False)
            harness = self.harness
            harness.lead.workers.receive(b"w", beat, harness.now, self.time)

    # ---- time and work --------------------------------------------------------------------------

    def sleep(self, ms: int, step: int = 50) -> None:
        """So much time passes, with turns."""
        end = self.harness.now + ms
        while self.harness.now < end:
            self._beat()
            self.harness.turn(min(step, end - self.harness.now))

    def ids(self) -> list[str]:
        """Of all tasks that are known, in order."""
        rows = self.harness.queues.machine.state.db.execute("SELECT id FROM task ORDER BY seq")
        return [id_ for (id_,) in rows]

    def pushed(self) -> list[PushedTask]:
        """The tasks that the worker got since it was asked last."""
        pushed, self._pushed = self._pushed + pushed_in(self.harness.sent()), []
        return pushed

    def finish(self, *tasks: PushedTask) -> None:
        self.harness.report(*(Outcome(task.token, True, b"\xc0") for task in tasks))
        self.harness.turn(0)
