"""What tests of schedules over real processes promise, broken on purpose."""

from tests.sim.mutants.surgery import Edit
from tests.teeth.shape import Break

SCHEDULES = (
    Break(
        "a new leader begins a schedule with now",
        (
            Edit(
                "raftwork.features.schedule_planner:SchedulePlanner._look",
                ".two_after(row.decided)",
                ".two_after(self._view.time)",
            ),
        ),
        ("test_every_second_ticks_once_while_leaders_are_killed",),
    ),
)
