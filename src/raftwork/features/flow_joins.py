"""Rows without code on every replica: a join, a flow, a task that was replaced.

1. Each has its outcome once it waits for nothing more, or for what never will be. Its value is made
   of others' then, byte for byte the same on all replicas.
2. To make a value takes time and bytes that whoever made the graph has chosen. So an entry makes so
   many, by what they cost; those that are left stay due, as timers, for the entries that follow. A
   row that is left counts as one that waits: it may still be cancelled.
3. What is too large, or cannot be read, is the row's failure. It must stop no replica.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.errors import BadMessage
from raftwork.features.effects import Settled
from raftwork.features.flow_graph import INPUT_BYTES_MAX, EdgeKind
from raftwork.features.history import ending
from raftwork.features.signal_rows import stop_watch
from raftwork.features.task_row import FINISHED, WITHOUT_CODE
from raftwork.messages import (
    Cancelled,
    CancelReason,
    OutcomeMalformed,
    State,
    decode_spec,
    encode_failure,
)
from raftwork.messages.failures import InputsTooLarge
from raftwork.messages.flow_values import JoinTooLarge, joined, packed_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.broker.machine.state import Ledger
    from raftwork.features.effects import Effect

#: Steps of one entry, some 2 us each, and those of one row besides what its value takes.
STEPS_AN_ENTRY = 3_000
STEPS_A_JOIN: Final = 12
#: Bytes for which there is one step more: of a template, which is read, and of a value.
_TEMPLATE_BYTES_A_STEP: Final = 8
_VALUE_BYTES_A_STEP: Final = 1_024
#: Kinds of timers; the ref is a row that waits for nothing, or a flow that has ended.
MAKE: Final = 20
LET_GO: Final = 16

# Plain numbers: a flow of ten thousand nodes asks these of each of its edges.
_SUCCEEDED: Final = State.SUCCEEDED.value
_NEEDS_END: Final = EdgeKind.NEEDS_END.value
_NEEDS_FAILURE: Final = EdgeKind.NEEDS_FAILURE.value

_NO_TEMPLATE = encode_failure(OutcomeMalformed("what its value is made of cannot be read"))
UPSTREAM: Final = encode_failure(Cancelled(CancelReason.UPSTREAM))

_PIN = "UPDATE task SET due = NULL WHERE seq = ?"
_CALLBACKS_ENDED = """UPDATE flow SET callbacks = callbacks - ? WHERE number = ?
    RETURNING callbacks, until"""
_KEPT = """UPDATE flow SET until = ?, pinned = pinned + ?, pinned_bytes = pinned_bytes + ?
    WHERE number = ?"""
_ROW = "SELECT seq, id, queue, spec, flags, flow FROM task WHERE seq = ? AND phase = ?"
# Of what waited for a signal that is the signal's value.
_TEMPLATE = """SELECT coalesce((
        SELECT said.value FROM signal AS wait CROSS JOIN signal AS said
        ON said.flow = wait.flow AND said.name = wait.name AND said.seq = 0
        WHERE wait.seq = task.seq AND wait.seq > 0
    ), body) FROM task WHERE seq = ?"""
_IN = """SELECT dst, slot, state, body FROM edge CROSS JOIN task ON task.seq = src
    WHERE dst IN (SELECT value FROM json_each(?)) AND kind & 4 ORDER BY dst, slot"""
_IN_STATES = """SELECT kind, src, state FROM edge CROSS JOIN task ON task.seq = src
    WHERE dst = ? ORDER BY slot"""
_IN_BYTES = """SELECT coalesce(sum(length(body)), 0)
    FROM edge CROSS JOIN task ON task.seq = src WHERE dst = ? AND kind & 4"""
_ENDED = "SELECT state, body FROM task WHERE seq = ?"


def meets(kind: int, state: int) -> bool:
    """Whether an edge of this kind is met by a task with this outcome."""
    if kind & _NEEDS_END:
        return True
    return (state == _SUCCEEDED) != bool(kind & _NEEDS_FAILURE)


def inputs(ledger: Ledger, seqs: Sequence[int]) -> dict[int, list[tuple[int, bytes]]]:
    """What the edges to tasks bring, by the tasks' numbers: slots, with packed values."""
    found: dict[int, list[tuple[int, bytes]]] = {seq: [] for seq in seqs}
    for dst, slot, state, body in list(ledger.db.execute(_IN, (str(list(seqs)),))):
        found[dst].append((slot, packed_input(State(state), body)))
    return found


def keep(ledger: Ledger, count: int, size: int) -> None:
    """So many results are kept for their flow's sake from now on; or, negative, no longer."""
    ledger.links.pin(count, size)
    ledger.results -= count
    ledger.result_bytes -= size


class Row(NamedTuple):
    """Of the table `task`."""

    seq: int
    id: str
    queue: int  # 0 unless it is a task that was replaced
    spec: bytes
    flags: int
    flow: int


# ---- their ends ---------------------------------------------------------------------------------


def make(ledger: Ledger, seqs: Sequence[int], limit: int, effects: list[Effect]) -> int:
    """End these rows, as far as `limit` steps go, and leave the rest due; the steps.

    The last one may take more: else a large one would never be made.
    """
    steps = 0
    for seq in seqs:
        if steps >= limit:
            ledger.set_timer(ledger.time, MAKE, seq)
        else:
            steps += _end(ledger, seq, effects)
    return steps


def make_left(ledger: Ledger, seqs: Sequence[int], _effects: list[Effect]) -> None:
    """Rows that were too many for an entry before this one."""
    ledger.links.ready += seqs


def _end(ledger: Ledger, seq: int, effects: list[Effect]) -> int:
    """It waits for nothing more, or for what never will be; how many steps that took."""
    steps = 0
    for each in list(ledger.db.execute(_ROW, (seq, WITHOUT_CODE))):
        row = Row(*each)
        state, data, read = _outcome(ledger, row)
        end_without_code(ledger, row, state, data, effects)
        steps += STEPS_A_JOIN + read // _TEMPLATE_BYTES_A_STEP + len(data) // _VALUE_BYTES_A_STEP
        if row.flow == row.seq:
            ledger.db.execute("UPDATE flow SET at = 0 WHERE number = ?", (row.seq,))
            if not keep_for_callbacks(ledger, row.seq):
                ledger.set_timer(ledger.time, LET_GO, row.seq)
    return steps


def _outcome(ledger: Ledger, row: Row) -> tuple[State, bytes, int]:
    """And how many bytes of a template were read for it."""
    edges = ledger.db.execute(_IN_STATES, (row.seq,))
    if not all(meets(kind, state) for kind, _, state in edges):
        if not row.queue and row.flow != row.seq:
            return State.CANCELLED, UPSTREAM, 0
        return *_cause(ledger, row.seq), 0
    ((size,),) = ledger.db.execute(_IN_BYTES, (row.seq,))
    if row.queue and row.flow != row.seq:
        size = 0  # its own inputs are none of its value, which is one node's
    if size > INPUT_BYTES_MAX:
        return State.FAILED, encode_failure(InputsTooLarge(size, INPUT_BYTES_MAX)), 0
    ((template,),) = ledger.db.execute(_TEMPLATE, (row.seq,))
    given = dict(inputs(ledger, [row.seq])[row.seq])
    try:
        return State.SUCCEEDED, joined(template, given, INPUT_BYTES_MAX), len(template)
    except JoinTooLarge as error:
        failure = encode_failure(InputsTooLarge(error.size, INPUT_BYTES_MAX))
        return State.FAILED, failure, len(template)
    except BadMessage:  # another kind of client's; it must not stop a replica
        return State.FAILED, _NO_TEMPLATE, len(template)


def _cause(ledger: Ledger, seq: int) -> tuple[State, bytes]:
    """The outcome of the task that this one has no value for: along edges that were not met.

    It ends where one has another outcome than "upstream", which is the cause, or has it already:
    of a thousand tasks that were replaced by each other each would walk to the last else.
    """
    state, body = 0, b""
    while not state or (state == State.CANCELLED and body == UPSTREAM):
        broken = None
        for kind, src, found in list(ledger.db.execute(_IN_STATES, (seq,))):
            if found and not meets(kind, found):
                broken = src
                break
        if broken is None:
            break
        seq = broken
        state, body = ledger.db.execute(_ENDED, (seq,)).get
    if not state or state == State.SUCCEEDED:
        return State.CANCELLED, UPSTREAM  # it was to fail, and did not
    return State(state), body


def end_without_code(
    ledger: Ledger, row: Row, state: State, data: bytes, effects: list[Effect]
) -> None:
    """A row without code has its outcome."""
    if not row.queue:
        stop_watch(ledger, row.seq)
    spec = decode_spec(row.spec)
    due = ledger.time + min(spec.result_ttl, ledger.settings.result_ttl)
    name = ""
    if row.queue:  # a task that was replaced: it counts as one
        queue = ledger.touch(ledger.numbered[row.queue].name)
        queue.blocked -= 1
        queue.running += 1
        name = queue.name
        ledger.settle(name, state, 1)
    else:
        ledger.results += 1
    ledger.ended([(row.seq, row.flags)], state, effects)
    attempt = ledger.db.execute("SELECT attempt FROM task WHERE seq = ?", (row.seq,)).get
    named = ledger.names[spec.name]
    ledger.db.execute(
        ending(ledger),
        (FINISHED, due, state.value, data, named, 0, ledger.time, 0, attempt, row.seq),
    )
    ledger.result_bytes += len(data)
    ledger.next_expiry = min(ledger.next_expiry, due)
    effects.append(Settled(0, row.seq, row.id, name, state, data))
    if row.queue:
        ledger.journal.ended_unstarted(name, spec.name, [row.id], state, data)
    elif row.flow == row.seq:
        ledger.journal.flow_ended(row.id, state, data)


# ---- callbacks ----------------------------------------------------------------------------------


def keep_for_callbacks(ledger: Ledger, flow: int) -> bool:
    """Keep the result of a flow that has ended, if tasks wait for its end; whether any do."""
    ((callbacks,),) = ledger.db.execute("SELECT callbacks FROM flow WHERE number = ?", (flow,))
    due, size = ledger.db.execute("SELECT due, length(body) FROM task WHERE seq = ?", (flow,)).get
    if callbacks and due is not None:
        ledger.db.execute(_PIN, (flow,))
        ledger.db.execute(_KEPT, (due, 1, size, flow))
        keep(ledger, 1, size)
    return bool(callbacks)


def callbacks_ended(ledger: Ledger, flow: int, count: int) -> None:
    """Of the tasks that wait for its end so many have ended; after the last its results may go."""
    ((left, until),) = ledger.db.execute(_CALLBACKS_ENDED, (count, flow))
    if left or not until:
        return
    ((size,),) = ledger.db.execute("SELECT length(body) FROM task WHERE seq = ?", (flow,))
    due = max(until, ledger.time)
    ledger.db.execute("UPDATE task SET due = ? WHERE seq = ?", (due, flow))
    ledger.next_expiry = min(ledger.next_expiry, due)
    ledger.db.execute(_KEPT, (0, -1, -size, flow))
    keep(ledger, -1, -size)
    ledger.set_timer(ledger.time, LET_GO, flow)
