"""A live cluster under all attacks of bench.attacks at once, while it works for honest ones."""

import pytest

from bench.attacks import attacked
from bench.harness import Peak, client, wait_until
from bench.hostile import Honest, overheard_cluster, verdict
from tests.cluster.harness import PATIENCE

#: For one enqueue, s: attackers and other tests have the same CPUs. With five times the attacks on
#: two of them a cluster is without a leader for longer than PATIENCE.
TIMEOUT_S = 3 * PATIENCE

#: MB; 16 of the largest frames, which libzmq may read ahead for one connection, are most of it.
GROWTH_MAX = 500


@pytest.mark.timeout(5 * TIMEOUT_S)
def test_a_cluster_under_attack_works_on_stays_small_and_keeps_its_state() -> None:
    with overheard_cluster() as (made, said), client(made, timeout=TIMEOUT_S) as app:
        honest = Honest(app)
        pids = {name: child.pid for name, child in made.children.items()}
        with Peak(pids) as quiet:
            honest.work(1.0)
        with attacked(list(made.addresses.values()), said), Peak(pids) as peak:
            wait_until(lambda: honest.work(4.0) > 0, TIMEOUT_S, "honest work done under attack")
        honest.finish()
        for name, child in made.children.items():
            assert child.alive, child.tail()
            assert "Traceback" not in child.log.read_text(), child.tail()
            assert peak.mb[name] - quiet.mb[name] < GROWTH_MAX, name
        verdict(made, honest.done)
