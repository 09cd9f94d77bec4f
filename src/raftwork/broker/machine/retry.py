"""A dead task is run again: as another task with its contents. See `dead`."""

from raftwork.broker.machine.dead_letters import BY_ID
from raftwork.broker.machine.enqueue import enqueue
from raftwork.broker.machine.state import Ledger
from raftwork.errors import UnknownTask
from raftwork.features.dead_letters import Retry
from raftwork.features.effects import Effect
from raftwork.features.enqueue import Admit
from raftwork.wire import pack


def retry(ledger: Ledger, command: Retry, effects: list[Effect]) -> None:
    """Enqueue a dead task's contents under a new id. Raises as `enqueue`, and UnknownTask."""
    wanted = "SELECT dead.number, again, key, dead.spec, payload"
    rows = list(ledger.db.execute(wanted + BY_ID, (command.id,)))
    if not rows:
        raise UnknownTask(f"no dead task has the id {command.id!r}")
    ((number, again, key, spec, payload),) = rows
    if again:
        return
    task = [command.new, payload, key] if key else [command.new, payload]
    enqueue(ledger, Admit(command.created, spec, pack([task])), effects)
    ledger.db.execute("UPDATE dead SET again = ? WHERE number = ?", (command.new, number))
