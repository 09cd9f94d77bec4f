"""Every way from state to state that the tables allow is taken: they hold nothing superfluous.

Three of Zab's are a matter of one moment, and taken by scripts: zab/test_states.py.
"""

from collections.abc import Mapping
from enum import StrEnum

import pytest

from raftwork.consensus.raft import state as raft
from raftwork.consensus.raft.transitions import TRANSITIONS as RAFT
from raftwork.consensus.zab import state as zab
from raftwork.consensus.zab.transitions import TRANSITIONS as ZAB
from raftwork.consensus.zab.transitions import Event, State
from tests.sim.cores import run
from tests.sim.shape import Kind

Table = Mapping[StrEnum, Mapping[StrEnum, StrEnum]]
SCRIPTED = {
    (State.SYNCING, Event.FOUND),
    (State.UP_TO_DATE, Event.FOUND),
    (State.ESTABLISHED, Event.LEFT),
}


@pytest.mark.parametrize(
    ("protocol", "node", "table"),
    [("raft", raft.Node, RAFT), ("zab", zab.Node, ZAB)],
    ids=["raft", "zab"],
)
def test_every_transition_happens(
    protocol: str,
    node: type[raft.Node] | type[zab.Node],
    table: Table,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: set[tuple[StrEnum, StrEnum]] = set()
    original = node.move

    def move(self: object, event: StrEnum) -> None:
        taken.add((self.state, event))  # type: ignore[attr-defined]
        original(self, event)  # type: ignore[arg-type]

    monkeypatch.setattr(node, "move", move)
    allowed = {(state, event) for state, ways in table.items() for event in ways} - SCRIPTED
    for seed in range(300):
        if taken >= allowed:
            break
        run(seed, list(Kind)[seed % len(Kind)], protocol)

    assert taken >= allowed
