"""A cluster that is hard to show: many members, long names, names in wide characters.

`python -m tests.unit.cli.crowded COMMAND…` is `raftwork COMMAND…` against it, for a terminal.
"""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Self
from unittest.mock import patch

from raftwork import Status
from raftwork.cli import cluster, main, queue, status
from raftwork.client.dead_letters import DeadReport, DeadTask, Loss
from raftwork.client.overview import overview
from raftwork.features.queue_settings import QueueSettings, changes
from raftwork.messages import BrokerStatus, QueueStatus, WorkerStatus

LONG = "a-name-of-sixty-four-characters-which-is-what-some-generators-do"
WIDE = "仕事場の名前はとても長い-ワーカー"
ENDED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

BROKERS = {f"10.20.30.{n}:7701": name for n, name in enumerate(["a", WIDE, LONG, *"defg"], 1)}
WORKERS = [LONG, WIDE, *(f"web{n}-{4000 + n}" for n in range(28))]
QUEUES = ["default", "mail", LONG, WIDE]
IDS = [f"0199c1a2-7f2b-7c3e-8d4f-5a6b7c8d9e{n:02x}" for n in range(5)]
TASKS = ["tasks.add", "shop.orders.tasks.send_confirmation", LONG, WIDE, "t.x"]
REASON = "rests for 8 s: 3 tasks in a row were lost with a process of it"


def worker(n: int, name: str) -> WorkerStatus:
    queues = QUEUES if n == 2 else ["default"]
    reason = REASON if n == 3 else ""
    facts = (f"host{n}.example.org", 4000 + n, 8, n % 8, 0.83, 0.12, 0.4, queues, "active", reason)
    return WorkerStatus(name, *facts, 0.05)


def broker(name: str, address: str, *, leads: bool) -> BrokerStatus:
    workers = [worker(n, name) for n, name in enumerate(WORKERS)] if leads else []
    queues = [
        QueueStatus(name, 3, 1, 123_456, 7, 0, 2**20, changes(balancer="lru", max_length=10**6))
        for name in QUEUES
    ]
    role = "leader" if leads else "follower"
    cluster = tuple((name, address) for address, name in BROKERS.items())
    numbers = (leads, 3, "a", 1_234_567, 1_234_560)
    return BrokerStatus(1, name, address, "raft", role, *numbers, workers, queues, cluster)


ANSWERS = {
    address: None if name == "g" else broker(name, address, leads=name == "a")
    for address, name in BROKERS.items()
}
SEEN = overview(ANSWERS)
DEAD = [
    DeadTask(
        id=id_,
        name=name,
        queue=QUEUES[n % 4],
        status=Status.FAILED,
        ended=ENDED,
        attempts=3,
        failures=3,
        losses=0,
        error="ValueError: " + "a text that goes on and on " * 7,
        retried_as=IDS[0].replace("0199", "0200") if n == 3 else None,
        number=100 + n,
    )
    for n, (id_, name) in enumerate(zip(IDS, TASKS, strict=True))
]
REPORT = DeadReport(DEAD[3], "E", "m", "", [], {}, [Loss(LONG, ENDED, None, 9, None)])


class CrowdedApp:
    """Answers what commands ask an App."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def dead(self, _queue: str | None = None) -> SimpleNamespace:
        return SimpleNamespace(list=lambda *_, **__: DEAD, show=lambda _: REPORT)

    def queue(self, _name: str) -> SimpleNamespace:
        return SimpleNamespace(settings=lambda: QueueSettings(balancer="lru", max_length=1))


if __name__ == "__main__":
    with (
        patch.object(status, "observe", lambda *_: SEEN),
        patch.object(queue, "observe", lambda *_: SEEN),
        patch.object(cluster, "connect", lambda *_: CrowdedApp()),
    ):
        main(prog_name="raftwork")
