"""Deliberate bugs in rolling upgrades."""

from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.mutant import mutant as _mutant
from tests.sim.mutants.surgery import Edit

_LACKING = "raftwork.features.upgrade:_lacking"
_LEADERSHIP = "raftwork.broker.leader.leadership:Leadership.__init__"

UPGRADES = (
    _mutant(
        "the level of the cluster is kept in memory alone",
        "raftwork.broker.machine.state:Ledger.raise_level",
        'self.db.execute("UPDATE cluster SET level = ?, release = ?", (level, release))',
        "pass",
        seeds=20,
    ),
    *(
        Mutant(
            f"{consensus}: a leader serves before its cluster has a level",
            (Edit(_LEADERSHIP, "self.serves = not self._pending", "self.serves = True"),),
            consensus=consensus,
        )
        for consensus in ("raft", "zab")
    ),
    *(
        Mutant(f"{consensus}: {name}", (Edit(_LACKING, old, new),), seeds=40, consensus=consensus)
        for consensus in ("raft", "zab")
        for name, old, new in (
            (
                "the level raised past a broker that does not run it",
                "elif target not in member.levels:",
                "elif False:",
            ),
            (
                "the level raised past a broker that is away",
                "if member is None:",
                "if member is None:\n            continue\n        if False:",
            ),
        )
    ),
)
