"""The diagrams in docs/consensus.md are drawn from the tables that the cores go by.

`--rewrite` draws them anew; they are Mermaid, which GitHub shows as pictures.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from raftwork.consensus.raft.transitions import TRANSITIONS as RAFT
from raftwork.consensus.raft.transitions import State as RaftState
from raftwork.consensus.zab.transitions import TRANSITIONS as ZAB
from raftwork.consensus.zab.transitions import State as ZabState

DOCUMENT = Path(__file__).parents[3] / "docs" / "consensus.md"
Table = Mapping[Any, Mapping[Any, Any]]

#: The table, where it begins, and which states are drawn in a box, because they share arrows.
DIAGRAMS: dict[str, tuple[Table, StrEnum, dict[str, list[Any]]]] = {
    "raft": (
        RAFT,
        RaftState.FOLLOWER,
        {"leading": [RaftState.LEADER, RaftState.ACTIVE]},
    ),
    "zab": (
        ZAB,
        ZabState.LOOKING,
        {
            "following": [
                ZabState.JOINING,
                ZabState.ACCEPTED,
                ZabState.SYNCING,
                ZabState.UP_TO_DATE,
            ],
            "leading": [
                ZabState.ELECTED,
                ZabState.OFFERING,
                ZabState.TAKING_OVER,
                ZabState.ESTABLISHED,
                ZabState.ACTIVE,
            ],
        },
    ),
}


def drawn(table: Table, start: StrEnum, boxes: Mapping[str, list[Any]]) -> str:
    """An arrow for each pair of states; what holds in a whole box leaves the box."""
    shared = {
        box: set.intersection(*(set(table[state].items()) for state in states))
        for box, states in boxes.items()
    }
    home = {state: box for box, states in boxes.items() for state in states}
    lines = ["stateDiagram-v2", f"    [*] --> {start.name}"]
    lines += [f'    state "{state}" as {state.name}' for state in table]
    for box, states in boxes.items():
        lines += [f"    state {box} {{", *(f"        {state.name}" for state in states), "    }"]
        lines += _arrows(box, dict(shared[box]))
    for state, ways in table.items():
        own = set(ways.items()) - shared.get(home.get(state, ""), set())
        lines += _arrows(
            state.name, {event: to for event, to in ways.items() if (event, to) in own}
        )
    return "\n".join(lines)


def _arrows(source: str, ways: Mapping[StrEnum, StrEnum]) -> list[str]:
    labels: dict[StrEnum, list[str]] = {}
    for event, target in sorted(ways.items()):
        labels.setdefault(target, []).append(str(event))
    return [f"    {source} --> {to.name}: {' / '.join(events)}" for to, events in labels.items()]


@pytest.mark.parametrize("protocol", DIAGRAMS)
def test_the_documented_diagram_is_the_cores_table(protocol: str, rewrite: bool) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    block = f"<!-- states of {protocol} -->\n```mermaid\n{drawn(*DIAGRAMS[protocol])}\n```\n"
    pattern = rf"<!-- states of {protocol} -->\n```mermaid\n.*?```\n"

    if rewrite:
        text = re.sub(pattern, lambda _: block, text, flags=re.DOTALL)
        DOCUMENT.write_text(text, encoding="utf-8")

    assert block in text


@pytest.mark.parametrize("protocol", DIAGRAMS)
def test_every_state_can_be_reached_and_left(protocol: str) -> None:
    table, start, _ = DIAGRAMS[protocol]
    seen = {start}
    while fresh := {to for state in seen for to in table[state].values()} - seen:
        seen |= fresh

    assert seen == set(table)
    assert all(table.values())
