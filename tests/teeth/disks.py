"""Breaks of what is promised of full disks: see catalogue.py."""

from tests.sim.mutants.surgery import Edit
from tests.teeth.shape import Break

DISKS = (
    Break(
        "new work is taken until the disks are full",
        (
            Edit(
                "raftwork.broker.disk_space:DiskSpace.heard",
                "self.shortage = self._why(now)",
                'self.shortage = ""',
            ),
        ),
        ("test_a_disk_that_fills_costs_at_most_its_broker_and_a_majority_is_refused_in_time",),
    ),
    Break(
        "a reserve of 0 is not what was asked for",
        (
            Edit("raftwork.broker.disk_gauge:DiskGauge.tend", "not self._reserve or ", ""),
            Edit(
                "raftwork.broker.disk_space:DiskSpace.look",
                "needed = self._reserve",
                "needed = 1 << 29",
            ),
        ),
        ("test_what_is_thrown_away_takes_tasks_on_a_nearly_full_disk",),
    ),
)
