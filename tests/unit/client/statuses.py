"""What brokers of a small cluster say of themselves."""

from raftwork.messages import BrokerStatus, QueueStatus, WorkerStatus

CLUSTER = (("a", "h:1"), ("b", "h:2"), ("c", "h:3"))
WORKER = WorkerStatus("w", "host", 1, 4, 1, 0.5, None, 0.25, ["q"], "active")


def status_of(name: str, *, active: bool, epoch: int, applied: int) -> BrokerStatus:
    role = "leader" if active else "follower"
    queue = QueueStatus("q", applied, 0, 0, 0, 0)
    workers = [WORKER._replace(name=f"of {name}")] if active else []
    address = dict(CLUSTER)[name]
    facts = (name, address, "raft", role, active, epoch, "", applied, applied)
    return BrokerStatus(1, *facts, workers, [queue], CLUSTER)
