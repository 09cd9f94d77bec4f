"""What `raftwork top` shows, without a cluster: pictures, and a source that has them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from raftwork import Status
from raftwork.cli.top.asking import Alarm, Answer, Picture, Running
from raftwork.cli.top.changes import Change
from raftwork.cli.top.screen import Top
from raftwork.client.overview import overview
from raftwork.client.run_info import Attempt, RunInfo
from raftwork.messages import BrokerStatus, QueueStatus, WorkerStatus
from raftwork.web.watch import Seen

#: 12:03:07 UTC.
AT = datetime(2026, 11, 30, 12, 3, 7, tzinfo=UTC).timestamp()
QUEUES = [
    QueueStatus("default", 4, 2, 1_000, 3, 1),
    QueueStatus("mail", 250, 1, 7, 0, 0, paused_until=2**62),
    QueueStatus("reports", 0, 1, 12, 0, 0, scheduled=3),
]
WORKERS = [
    WorkerStatus("w1", "host", 7, 4, 3, 0.8, 0.1, 0.2, ["default", "mail"], "active"),
    WorkerStatus("w2", "host", 8, 4, 1, 0.5, None, None, ["reports"], "draining"),
]


def task(id_: str, name: str = "reports.build", seconds: float = 65.0) -> RunInfo:
    began = datetime.fromtimestamp(AT - seconds, UTC)
    return RunInfo(
        id=id_,
        name=name,
        queue="default",
        status=Status.RUNNING,
        attempts=[Attempt("w1", began, timedelta(seconds=seconds), None)],
        enqueued=began,
        tags={},
        key=None,
        priority=0,
        tenant=None,
        due=None,
        ended=None,
        hand_outs=1,
        failures=0,
        losses=0,
        waits=[],
        progress=None,
        number=1,
    )


def broker(
    name: str,
    queues: Sequence[QueueStatus],
    workers: Sequence[WorkerStatus],
    leader: str = "",
    names: str = "abc",
) -> BrokerStatus:
    leads = name == leader
    members = tuple((each, f"{each}:1") for each in names)
    role = "leader" if leads else "follower" if leader else "candidate"
    facts = ("raft", role, leads, 3, leader, 100, 98)
    shown = list(workers) if leads else []
    return BrokerStatus(1, name, f"{name}:1", *facts, shown, list(queues), members)


def picture(
    leader: str = "a",
    *,
    queues: Sequence[QueueStatus] = QUEUES,
    workers: Sequence[WorkerStatus] = WORKERS,
    tasks: Sequence[RunInfo] = (task("id-1"), task("id-2", "mail.send", 7)),
    alarms: Sequence[Alarm] = (),
    down: str = "",
    at: float = AT,
) -> Picture:
    """Of a cluster of a, b and c; with no leader if that is empty, and one of them `down`."""
    said = {f"{n}:1": None if n == down else broker(n, queues, workers, leader) for n in "abc"}
    names = {name.partition(":")[0]: status for name, status in said.items()}
    since = "2026-11-30T12:00:00.000+00:00" if leader else None
    return Picture(Seen(at, names, overview(said)), since, alarms, 12.5, 0.5, Running(tasks))


class Told:
    """A source that has one picture until it is told another, and keeps what is to be changed."""

    def __init__(self, first: Picture | None = None) -> None:
        self.wants_running = False
        self.picture = first or picture()
        self.changes: list[Change] = []
        self.said: list[Answer] = []

    def look(self) -> Picture:
        return self.picture

    def change(self, change: Change) -> None:
        self.changes.append(change)

    def answers(self) -> list[Answer]:
        said, self.said = self.said, []
        return said


def renamed(name: str) -> Picture:
    """Whatever can have a name has this one."""
    queue, worker = (
        QUEUES[0]._replace(name=name),
        WORKERS[0]._replace(name=name, host=name, queues=[name], reason=name),
    )
    hostile = replace(task(name, name), queue=name, attempts=[Attempt(name, None, None, name)])
    alarm = Alarm("warning", name, name)
    made = picture(queues=[queue], workers=[worker], tasks=[hostile], alarms=[alarm])
    own = BrokerStatus(
        *(1, name, name, name, name, True, 3, name, 1, 1, [worker], [queue], ((name, name),))
    )
    seen = Seen(AT, {name: own}, overview({name: own, "h:2": None}))
    return replace(made, seen=seen, running=Running([hostile], failure=name))


def shown(app: Top) -> str:
    """The screen as text, a line each."""
    lines = app.screen._compositor.render_strips()
    return "\n".join(re.sub(r"\s+$", "", line.text) for line in lines)
