"""A lease that ends while proposals are kept out: its worker may be back before that is in the log.

Seed 50136 was the first of some ten thousand to come by it: a worker was silent for a lease's time
while leadership was being handed to a broker that had stopped, and said hello before that was given
up. The leader had given the worker up in time; the checker measured its silence at the proposal.
"""

from collections.abc import Callable

import pytest

from raftwork.broker.workers.registry import WorkerRegistry
from raftwork.messages import Spec
from tests.sim.system.broker import Broker
from tests.sim.system.faults import both
from tests.sim.system.promises import Violation
from tests.sim.system.workload import make_batch
from tests.sim.system.world import World


class _Scene:
    """A worker at a long task, whose leader will hand over in vain for 750 ms."""

    def __init__(self) -> None:
        self.world = world = World(1)
        self.worker, self.user = world.workers[0], world.users[0]
        for process in (*world.brokers, self.worker, self.user):
            process.start()
        self.until(lambda: any(broker.active is not None for broker in world.brokers))
        self.user._enqueue(make_batch(Spec("long", "default"), {"t": ("ok", 20_000, 0)}))
        self.user.poke()
        self.until(lambda: bool(world.queue.executions.runs))
        self.wait(500)  # the leader has been told that it began
        (self.leader,) = (broker for broker in world.brokers if broker.active is not None)

    def until(self, done: Callable[[], bool]) -> None:
        timeline = self.world.timeline
        assert timeline.run(timeline.now + 5_000, done)

    def wait(self, length: int) -> None:
        self.world.timeline.run(self.world.timeline.now + length)

    def hand_over(self) -> None:
        """In vain: nothing gets from the leader to its heir."""
        self.leader.hand_over()
        heir = self.world.faults._heir()
        assert heir is not None
        self.world.network.cut(both([(self.leader.host, heir.host)]), reset=False)

    @property
    def losses(self) -> int:
        return self.world.queue.tasks["t"].losses

    @property
    def workers(self) -> WorkerRegistry:
        assert self.leader.node is not None and self.leader.node._supervisor.leadership is not None
        return self.leader.node._supervisor.leadership.workers

    @property
    def lease(self) -> int:
        """How much of it is left, ms."""
        (worker,) = self.workers.named(self.worker.host)
        return worker.deadline - self.leader.mono


def _kept_out(leader: Broker) -> bool:
    return leader.node is not None and leader.node.holds_back


def test_who_was_silent_for_a_lease_may_be_back_when_its_task_is_taken() -> None:
    scene = _Scene()
    scene.worker.pause(scene.lease + 400)
    scene.wait(scene.lease - 150)
    scene.hand_over()
    scene.until(lambda: not scene.worker.paused)
    scene.wait(60)  # a beat, a hello
    assert _kept_out(scene.leader) and not scene.losses
    scene.until(lambda: not _kept_out(scene.leader))
    scene.until(lambda: scene.losses == 1)
    assert scene.leader.active is not None


@pytest.mark.parametrize("silence", [0, 2_000])
def test_who_was_not_is_not_taken_for_lost_however_long_proposals_are_kept_out(
    silence: int,
) -> None:
    scene = _Scene()
    if silence:
        scene.worker.pause(silence)
        scene.wait(silence)
        scene.wait(60)
    scene.hand_over()
    (worker,) = scene.workers.named(scene.worker.host)
    scene.workers._give_up(worker, scene.leader.mono)
    with pytest.raises(Violation, match="is taken from its worker after"):
        scene.wait(2_000)
