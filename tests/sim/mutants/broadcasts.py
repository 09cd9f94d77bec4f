"""Deliberate bugs in tasks for one worker; each must be found with both protocols."""

from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.surgery import Edit

BROADCASTS = tuple(
    Mutant(f"{consensus}: {name}", (edit,), seeds, consensus=consensus)
    for consensus in ("raft", "zab")
    for name, edit, seeds in (
        (
            "a task for one worker goes to any",
            Edit(
                "raftwork.broker.dispatch.dispatcher:Dispatcher.requeued",
                "if lane is not None and lane.worker:",
                "if False:",
            ),
            20,
        ),
        (
            "a new leader forgets what waits for one worker",
            Edit(
                "raftwork.broker.dispatch.pinned:PinnedBacklogs.__init__",
                "if lane.worker:",
                "if False:",
            ),
            20,
        ),
    )
)
