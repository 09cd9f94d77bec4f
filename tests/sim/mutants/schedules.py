"""Deliberate bugs in schedules; each with both protocols."""

from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.surgery import Edit

_TICKS = "raftwork.features.schedule_ticks"
_CHANGES = "raftwork.features.schedule_changes"
_PLANNER = "raftwork.features.schedule_planner:SchedulePlanner"

SCHEDULES = tuple(
    Mutant(f"{consensus}: {name}", edits, seeds, consensus=consensus)
    for consensus in ("raft", "zab")
    for name, edits, seeds in (
        (
            "a tick without compare-and-set",
            (
                Edit(
                    f"{_TICKS}:fire",
                    "(row.version, row.decided) != (tick.version, tick.decided)",
                    "False",
                ),
            ),
            30,
        ),
        (
            "the next tick by a local clock",
            (
                Edit(
                    f"{_PLANNER}.commands",
                    "time = self._view.time",
                    "time = __import__('time').time_ns() // 1_000_000",
                ),
            ),
            10,
        ),
        (
            "a tick is early",
            (
                Edit(f"{_TICKS}:fire", "tick.tick <= ledger.time", "True"),
                Edit(
                    f"{_PLANNER}._due",
                    "self._later[0][0] <= time",
                    "self._later[0][0] <= time + 500",
                ),
                Edit(f"{_PLANNER}._due", "time <= next_.until", "True"),
            ),
            10,
        ),
        (
            "a new leader begins with now",
            (Edit(f"{_PLANNER}._look", ".two_after(row.decided)", ".two_after(self._view.time)"),),
            20,
        ),
        (
            "a tick does not look for an earlier task",
            (
                Edit(f"{_TICKS}:make", "room = _ROOM.get(overlap)", "room = None"),
                Edit(f"{_TICKS}:_make_alike", "each.number in before.busy", "False"),
            ),
            10,
        ),
        (
            "a tick does not wait for its jitter",
            (Edit("raftwork.features.schedule_planner:_due", "if not plan.jitter:", "if True:"),),
            10,
        ),
        (
            "a limit does not hold what is made by hand",
            (Edit(f"{_CHANGES}:trigger", "row.check_limit(plan)", "pass"),),
            60,
        ),
        (
            "a limit that is raised makes up for the time before",
            (Edit(f"{_CHANGES}:_changed", "and not goes_on", ""),),
            60,
        ),
        (
            "what waits for its schedule waits for its own policy's alone",
            (
                Edit(
                    "raftwork.features.schedule_order:come_after",
                    "_give_to_first(ledger, schedule, queue, key)",
                    "pass",
                ),
            ),
            30,
        ),
        (
            "a paused schedule ticks",
            (
                Edit(f"{_TICKS}:fire", "and not row.paused", ""),
                Edit(f"{_TICKS}:_ticked", "if row.paused:", "if False:"),
            ),
            30,
        ),
        (
            "missed ticks are not counted",
            (
                Edit(
                    f"{_TICKS}:_ticked",
                    "return now._replace(late=row.late + tick.late + 1)",
                    "return now",
                ),
            ),
            60,
        ),
        (
            "a worker that starts makes a schedule like its code",
            (
                Edit(
                    f"{_CHANGES}:fate",
                    '"changed" if command.apply else "differs"',
                    '"changed"',
                ),
            ),
            20,
        ),
        (
            "an edit goes back over ticks that were made",
            (
                Edit(
                    f"{_CHANGES}:_changed",
                    "decided=time, next=time, held_decided=time",
                    "decided=new.anchor, next=time, held_decided=time",
                ),
            ),
            20,
        ),
    )
)
