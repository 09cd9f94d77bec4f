"""Disks on which every sync takes long make a cluster slow, but not leaderless.

Zab's phase 1 once had 400 ms whatever the disks: with syncs of 200 ms no leader got through it.

Three brokers: the more there are, the more votes of Raft meet in so slow an election. Six with
syncs of 600 ms may take longer than these 15 s.
"""

import pytest

from tests.sim.system import shape
from tests.sim.system.broker import Broker
from tests.sim.system.world import World


@pytest.mark.parametrize("sync", [100, 200, 300, 600])
@pytest.mark.parametrize("seed", range(1, 4))
def test_slow_disks_get_a_leader_and_keep_it(
    consensus: str, sync: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shape, "SIZES", {3: 1.0})
    world = World(seed, consensus=consensus)
    for broker in world.brokers:
        monkeypatch.setattr(broker.disk, "sync_time", lambda: sync)
        broker.start()

    def leaders() -> list[Broker]:
        return [broker for broker in world.brokers if broker.active is not None]

    assert world.timeline.run(15_000, lambda: bool(leaders())), "nobody leads"
    (leader,), epoch = leaders(), leaders()[0].active
    world.timeline.run(world.timeline.now + 10_000)
    assert (leaders(), leader.active) == ([leader], epoch)
