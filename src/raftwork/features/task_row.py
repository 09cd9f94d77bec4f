"""Numbers that stand in a task's row: its phase, and its flags. None ever changes its meaning."""

from typing import Final

from raftwork.messages import CancelReason

# ---- task.phase: plain integers, as they go into the statements ---------------------------------

PENDING: Final = 0  # waits or runs
DELAYED: Final = 1  # waits again at `due`
FINISHED: Final = 2  # has its outcome; the data become a tombstone at `due`
TOMBSTONE: Final = 3  # forgotten altogether at `due`
SCHEDULED: Final = 4  # waits for the first time at `due`
BLOCKED: Final = 5  # waits for other tasks
WITHOUT_CODE: Final = 6  # ends with those that it waits for: a join, a flow, what was replaced

# ---- task.flags: what makes a task other than an ordinary one, a bit each -----------------------
#
# They ride with a task into the running set, so that one look tells whether any capability takes
# part in its life (lifecycle.py). An ordinary task's are 0.

#: It has timers of its own: it expires, or has a deadline.
TIMED: Final = 1
#: It waits in a lane rather than among its queue's ordinary tasks.
LANED: Final = 2
#: It has a unique key.
UNIQUE: Final = 4
#: It passes gates before it is handed out.
GATED: Final = 8
#: It has tags.
TAGGED: Final = 16
#: It left a checkpoint.
CHECKPOINTED: Final = 32
#: It was asked to end, and is not handed out again.
CANCELLING: Final = 64
#: Other tasks wait for it, or it is one of a flow.
LINKED: Final = 128
#: It runs after those of its key that came before it.
ORDERED: Final = 512
#: A schedule made it.
TICKED: Final = 1024
#: One worker alone may have it.
PINNED: Final = 2048
#: Edges may bring it values of other tasks.
FED: Final = 4096
#: A failed attempt left something for a tracer of the next one.
TRACED: Final = 8192
#: Code of it has begun, or may have; set only where it matters (state.py): for tasks that expire,
#: and for those whose arguments may be replaced.
BEGUN: Final = 2**20

#: From this bit on stands why a CANCELLING task was asked to end: a CancelReason, three bits.
REASON_SHIFT: Final = 16


def cancel_reason(flags: int) -> CancelReason:
    """Why a CANCELLING task was asked to end."""
    return CancelReason(flags >> REASON_SHIFT & 7)
