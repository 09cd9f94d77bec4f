"""What becomes of a flow's nodes as a whole, by parts: cancelled, let go, and forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.errors import UnknownTask
from raftwork.features import signal_rows
from raftwork.features.cancel import ask_to_end
from raftwork.features.effects import Done
from raftwork.features.flow_joins import LET_GO, Row, end_without_code
from raftwork.features.flow_nodes import FORGET, STOP
from raftwork.features.task_row import BLOCKED, CANCELLING, FINISHED, WITHOUT_CODE
from raftwork.features.waiting import end_unstarted, unstarted
from raftwork.messages import Cancelled, CancelReason, State, encode_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.broker.machine.state import Ledger
    from raftwork.features.cancel import CancelSome
    from raftwork.features.effects import Effect

#: Nodes that one entry looks at.
_PART = 500
#: The kind of timer; the ref is a row that was cancelled: what replaced it, or was to lead to it in
#: what did, is to end, too.
END_INPUTS: Final = 21
#: For code that runs when its flow is to end, unless somebody says another, ms.
_GRACE_MS: Final = 10_000

_NODES = "SELECT seq FROM node WHERE flow = ? AND seq > ? ORDER BY seq LIMIT ?"
_AT = "SELECT at FROM flow WHERE number = ?"
_SET_AT = "UPDATE flow SET at = ? WHERE number = ?"
_DUE = "SELECT due FROM task WHERE seq = ? AND phase = ?"
_LET_GO = """UPDATE node SET kept = 0 WHERE flow = ? AND seq BETWEEN ? AND ? AND kept != 0
    RETURNING seq"""
_SIZE = "SELECT length(body) FROM task WHERE seq = ?"
_FREE = """UPDATE task SET due = ?1 WHERE seq = ?2
    AND NOT EXISTS (SELECT 1 FROM node WHERE node.seq = ?2 AND kept = 2)
    AND NOT EXISTS (SELECT 1 FROM node WHERE node.flow = task.flow AND node.seq = ?2 AND kept = 1)
    RETURNING 1"""
_UNPIN = "UPDATE flow SET pinned = pinned - ?, pinned_bytes = pinned_bytes - ? WHERE number = ?"
_DROP_UNMADE = """DELETE FROM unmade WHERE seq IN (SELECT value FROM json_each(?))
    RETURNING length(spec) + length(payload)"""
_WITHOUT_CODE = """SELECT seq, task.id, queue, spec, flags, flow
    FROM json_each(?) CROSS JOIN task ON task.seq = value WHERE phase = ? ORDER BY seq"""
_INPUTS = """SELECT DISTINCT src, phase FROM edge CROSS JOIN task ON task.seq = src
    WHERE dst = ? AND state = 0 AND NOT flags & ? ORDER BY src LIMIT ?"""
_FLOW = "SELECT number FROM task JOIN flow ON number = seq WHERE task.id = ?"
_REASON = "SELECT cancelled FROM flow WHERE number = ?"
_ASKED = """UPDATE flow SET cancelled = ? WHERE number = ? AND cancelled = 0
    AND (SELECT phase FROM task WHERE seq = number) = ?"""


def cancel_nodes(
    ledger: Ledger, seqs: Sequence[int], grace: int, reason: CancelReason, effects: list[Effect]
) -> int:
    """End these nodes, or ask their code to end; how many tasks that were."""
    waiting = unstarted(ledger, seqs)
    data = encode_failure(Cancelled(reason))
    effects += end_unstarted(ledger, waiting, State.CANCELLED, data)
    runs = [seq for seq in seqs if seq in ledger.running_seqs]
    for seq in runs:
        ask_to_end(ledger, seq, grace, reason, effects)
    for row in list(ledger.db.execute(_WITHOUT_CODE, (str(list(seqs)), WITHOUT_CODE))):
        end_without_code(ledger, Row(*row), State.CANCELLED, data, effects)
    return len(waiting) + len(runs)


def cancel_part(ledger: Ledger, command: CancelSome, effects: list[Effect]) -> Done:
    """The next part of a flow that was asked to end. Raises UnknownTask if it is not known."""
    flow = _flow_of_id(ledger, command.name)
    if flow is None:
        raise UnknownTask(f"no flow has the id {command.name!r}, or it is no longer remembered")
    ledger.db.execute(_ASKED, (CancelReason.USER, flow, WITHOUT_CODE))
    seqs = [seq for (seq,) in ledger.db.execute(_NODES, (flow, command.after, command.limit))]
    count = cancel_nodes(ledger, seqs, command.grace, CancelReason.USER, effects)
    return Done(count, seqs[-1] if len(seqs) == command.limit else 0)


def cancel_rows(ledger: Ledger, seqs: Sequence[int], effects: list[Effect]) -> int:
    """Of these rows that have no code a flow is asked to end, and others are cancelled.

    Of a task that was replaced, what replaced it ends with it: else it ran on, and nobody could
    have its value.
    """
    count = 0
    for row in list(ledger.db.execute(_WITHOUT_CODE, (str(list(seqs)), WITHOUT_CODE))):
        found = Row(*row)
        count += 1
        if found.seq == found.flow:
            ledger.db.execute(_ASKED, (CancelReason.USER, found.seq, WITHOUT_CODE))
            ledger.db.execute(_SET_AT, (0, found.seq))
            ledger.set_timer(ledger.time, STOP, found.seq)
        else:
            data = encode_failure(Cancelled(CancelReason.USER))
            end_without_code(ledger, found, State.CANCELLED, data, effects)
            if found.queue:
                ledger.set_timer(ledger.time, END_INPUTS, found.seq)
    return count


def end_inputs(ledger: Ledger, seqs: Sequence[int], effects: list[Effect]) -> None:
    """Cancelled with a task that was replaced is the next part of what these wait for, too.

    That is none of what is beside that task: it had run, so all that it waited for has ended. What
    runs has nothing before it either.
    """
    for seq in seqs:
        rows: list[tuple[int, int]] = list(ledger.db.execute(_INPUTS, (seq, CANCELLING, _PART)))
        inputs = [src for src, _ in rows]
        held = [src for src, phase in rows if phase in (BLOCKED, WITHOUT_CODE)]
        cancel_nodes(ledger, inputs, _GRACE_MS, CancelReason.USER, effects)
        for src in held:
            ledger.set_timer(ledger.time, END_INPUTS, src)
        if len(rows) == _PART:
            ledger.set_timer(ledger.time, END_INPUTS, seq)


def _flow_of_id(ledger: Ledger, id_: str) -> int | None:
    row = ledger.db.execute(_FLOW, (id_,)).fetchone()
    return None if row is None else row[0]


def stop(ledger: Ledger, flows: Sequence[int], effects: list[Effect]) -> None:
    """The nodes of these are to end, as one failed or somebody asked: the next part of them."""
    for flow in flows:
        if ledger.db.execute(_DUE, (flow, WITHOUT_CODE)).fetchone() is None:
            continue  # it has ended
        ((reason,),) = ledger.db.execute(_REASON, (flow,))
        seqs, more = _part(ledger, flow)
        cancel_nodes(ledger, seqs, _GRACE_MS, CancelReason(reason), effects)
        if more:
            ledger.set_timer(ledger.time, STOP, flow)
        else:
            ledger.db.execute(_SET_AT, (0, flow))


def _part(ledger: Ledger, flow: int) -> tuple[list[int], bool]:
    """The next nodes of a flow to look at, and whether there are more."""
    found = ledger.db.execute(_AT, (flow,)).fetchone()
    if found is None:
        return [], False
    seqs = [seq for (seq,) in ledger.db.execute(_NODES, (flow, found[0], _PART))]
    if seqs:
        ledger.db.execute(_SET_AT, (seqs[-1], flow))
    return seqs, len(seqs) == _PART


def let_go(ledger: Ledger, flows: Sequence[int], _effects: list[Effect]) -> None:
    """These have ended: their nodes' results are kept as long as their own."""
    for flow in flows:
        seqs, more = _part(ledger, flow)
        _unpin(ledger, flow, seqs)
        if more:
            ledger.set_timer(ledger.time, LET_GO, flow)


def _unpin(ledger: Ledger, flow: int, seqs: Sequence[int]) -> None:
    """Results that this flow keeps, and no other one, are kept as long as its own from now on."""
    if not seqs:
        return
    row = ledger.db.execute(_DUE, (flow, FINISHED)).fetchone()
    due = ledger.time if row is None or row[0] is None else max(ledger.time, row[0])
    kept = [seq for (seq,) in list(ledger.db.execute(_LET_GO, (flow, seqs[0], seqs[-1])))]
    all_bytes = 0
    for seq in kept:
        ((size,),) = ledger.db.execute(_SIZE, (seq,))
        all_bytes += size
        if list(ledger.db.execute(_FREE, (due, seq))):
            ledger.results += 1
            ledger.result_bytes += size
    if kept:
        ledger.db.execute(_UNPIN, (len(kept), all_bytes, flow))
        ledger.links.pin(-len(kept), -all_bytes)
        ledger.next_expiry = min(ledger.next_expiry, due)


def _nodes(ledger: Ledger, flow: int) -> list[int]:
    """The first that are left of a flow's nodes; of its callbacks, if it is negative."""
    return [seq for (seq,) in ledger.db.execute(_NODES, (flow, 0, _PART))]


def buried(ledger: Ledger, seqs: Sequence[int]) -> None:
    """Of tasks whose results are dropped those that are flows: their rows go, by parts."""
    for seq in seqs:
        if ledger.db.execute(_AT, (seq,)).fetchone() is not None:
            ledger.set_timer(ledger.time, FORGET, seq)


def _drop_unmade(ledger: Ledger, seqs: Sequence[int]) -> None:
    """These are not run again."""
    for (size,) in list(ledger.db.execute(_DROP_UNMADE, (str(list(seqs)),))):
        ledger.links.unmade_bytes -= size


def forget(ledger: Ledger, flows: Sequence[int], _effects: list[Effect]) -> None:
    """The next part of what is left of these: of the nodes, then of the callbacks."""
    for flow in flows:
        whose, seqs = flow, _nodes(ledger, flow)
        if seqs:
            _unpin(ledger, flow, seqs)  # unless they are let go already
        else:
            whose, seqs = -flow, _nodes(ledger, -flow)
        rows = [(seq,) for seq in seqs]
        ledger.db.executemany("DELETE FROM edge WHERE dst = ?", rows)
        _drop_unmade(ledger, seqs)
        ledger.db.executemany(
            "DELETE FROM node WHERE flow = ? AND seq = ?", [(whose, seq) for seq in seqs]
        )
        if seqs:
            ledger.set_timer(ledger.time, FORGET, flow)
            continue
        ledger.db.execute("DELETE FROM edge WHERE dst = ?", (flow,))
        signal_rows.forget(ledger, flow)
        _drop_unmade(ledger, [flow])
        for nodes, edges in list(
            ledger.db.execute("DELETE FROM flow WHERE number = ? RETURNING nodes, edges", (flow,))
        ):
            ledger.links.nodes -= nodes
            ledger.links.edges -= edges
            ledger.links.flows -= 1
