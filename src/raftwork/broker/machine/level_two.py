"""The tables of level 2: what a task that is not an ordinary one has besides.

1. They are made by the raise to level 2 and by nothing else (`Ledger.raise_level`): at one entry
   all replicas have the same tables, also those of a release that knows no level 2.
2. An ordinary task has the default in each new column, which SQLite keeps in its row's header, and
   no row in any new table. So it costs what it did.
3. What holds a task back is time (`start`, and `timer`), other tasks (`edge`, `unmet`) or a gate
   (`gate`). What is held by nothing waits, in `waiting` or in a lane
   (`laned`).
"""

from typing import Final

import apsw

LEVEL: Final = 2

#: Each table of level 2 with the order in which its rows are compared.
TABLES: Final = {
    "timer": "due, kind, ref",
    "start": "first",
    "lane": "number",
    "laned": "lane, place",
    "key_order": "queue, key",
    "key_waiting": "queue, key, place",
    "gate": "name, key",
    "unique_key": "name, key",
    "quota": "name",
    "tag": "key, value, first",
    "checkpoint": "seq",
    "edge": "dst, slot",
    "unmet": "src, dst, slot",
    "flow": "number",
    "unmade": "seq",
    "pin": "seq",
    "signal": "flow, name, seq",
    "node": "flow, seq",
    "schedule": "number",
    "tick": "seq",
    "name": "number",
    "worker": "number",
    "attempt": "seq, number",
    "audit": "number",
    "mark": "number",
}

_SCHEMA: Final = """
ALTER TABLE task ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;    -- features/task_row.py
ALTER TABLE task ADD COLUMN place INTEGER NOT NULL DEFAULT 0;    -- in its lane; 0 is its seq
ALTER TABLE task ADD COLUMN lane INTEGER NOT NULL DEFAULT 0;     -- 0: the queue's ordinary tasks
ALTER TABLE task ADD COLUMN created INTEGER NOT NULL DEFAULT 0;  -- leader time of its enqueue
ALTER TABLE task ADD COLUMN gates TEXT NOT NULL DEFAULT '';      -- that it holds or waits for
ALTER TABLE task ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
-- Of what has ended: its name and its worker, by number, when it ended and how long it ran.
ALTER TABLE task ADD COLUMN named INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN ran_on INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN ended_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN run_ms INTEGER NOT NULL DEFAULT 0;

ALTER TABLE task ADD COLUMN open INTEGER NOT NULL DEFAULT 0;     -- edges to it that are unmet
ALTER TABLE task ADD COLUMN flow INTEGER NOT NULL DEFAULT 0;     -- whose node it is
ALTER TABLE task ADD COLUMN parent INTEGER NOT NULL DEFAULT 0;   -- whose code made it
CREATE INDEX unsuccessful ON task (seq) WHERE state > 3;          -- features/search_tasks.py
ALTER TABLE queue ADD COLUMN scheduled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN paused_until INTEGER NOT NULL DEFAULT 0;   -- machine time
ALTER TABLE queue ADD COLUMN delayed INTEGER NOT NULL DEFAULT 0;    -- of queued: wait for a retry
UPDATE queue SET delayed = (
    SELECT count(*) FROM task
    WHERE task.phase = 1 AND task.due IS NOT NULL AND task.queue = queue.number
);
ALTER TABLE machine ADD COLUMN queues INTEGER NOT NULL DEFAULT 0;       -- the last queue's number
CREATE TABLE timer (
    due INTEGER NOT NULL,           -- machine time
    kind INTEGER NOT NULL,          -- features/feature.py: TimerKind
    ref INTEGER NOT NULL,           -- whose it is
    PRIMARY KEY (due, kind, ref)
) STRICT, WITHOUT ROWID;
CREATE TABLE start (                -- features/starts.py
    first INTEGER PRIMARY KEY,      -- tasks from this number
    last INTEGER NOT NULL,          -- to this one are SCHEDULED
    due INTEGER NOT NULL            -- machine time
) STRICT;
CREATE INDEX start_due ON start (due);
CREATE TABLE lane (                 -- of tasks that wait for the same things, by one order
    number INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    gates TEXT NOT NULL,
    worker TEXT NOT NULL,           -- the only one that may have its tasks, by name; empty: any
    tasks INTEGER NOT NULL,         -- unfinished ones that bear its number; it goes with the last
    UNIQUE (queue, priority, tenant, gates, worker)
) STRICT;
CREATE TABLE laned (                -- as `waiting`, of what is in a lane
    lane INTEGER NOT NULL,
    place INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (lane, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE key_order (            -- of ordered tasks: one a key, while it is in use or halted
    queue INTEGER NOT NULL,
    key TEXT NOT NULL,
    owner INTEGER NOT NULL,         -- its task that may run; 0 while it is halted
    PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX halted_key ON key_order (queue, key) WHERE owner = 0;
CREATE TABLE key_waiting (          -- ordered tasks behind the owner, in no lane yet
    queue INTEGER NOT NULL,
    key TEXT NOT NULL,
    place INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (queue, key, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE gate (                 -- of a limit, and a key if it counts apart; while time shuts it
    name TEXT NOT NULL,             -- the limit's; empty for that of a queue
    key TEXT NOT NULL,              -- a tenant, a key, or the queue
    tat INTEGER NOT NULL,           -- GCRA's theoretical arrival time, machine time in us
    last INTEGER NOT NULL,          -- the token that was charged last
    before INTEGER NOT NULL,        -- tat before that
    shut_until INTEGER NOT NULL,    -- machine time in ms
    timer INTEGER NOT NULL,         -- what its timer calls it; 0 if it has none
    PRIMARY KEY (name, key)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX gate_timer ON gate (timer) WHERE timer > 0;
CREATE TABLE unique_key (           -- while it is taken (features/unique_keys.py)
    name TEXT NOT NULL,             -- of the tasks that it is for
    key TEXT NOT NULL,
    owner INTEGER NOT NULL,         -- the task that has it
    id TEXT NOT NULL,               -- that task's, which may be forgotten before its period ends
    next INTEGER NOT NULL,          -- the task that has it next; 0 is none
    until INTEGER NOT NULL,         -- machine time; 0 is no period
    held INTEGER NOT NULL,          -- 0: its period alone keeps it
    PRIMARY KEY (name, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX unique_owner ON unique_key (owner);
CREATE INDEX unique_next ON unique_key (next) WHERE next > 0;
CREATE TABLE quota (                -- what a limit allows
    name TEXT PRIMARY KEY,
    settings BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE tag (                  -- features/tags.py
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    first INTEGER NOT NULL,         -- tasks from this number
    last INTEGER NOT NULL,          -- to this one have it
    tasks INTEGER NOT NULL,         -- so many whose results are not dropped
    PRIMARY KEY (key, value, first)
) STRICT, WITHOUT ROWID;
CREATE INDEX tag_of ON tag (first);
CREATE TABLE checkpoint (
    seq INTEGER PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
CREATE TABLE edge (                 -- dst waits for src; kept until their flow is forgotten
    dst INTEGER NOT NULL,
    slot INTEGER NOT NULL,          -- by which dst names the value; from 0 on
    src INTEGER NOT NULL,
    kind INTEGER NOT NULL,          -- features/flow_graph.py: EdgeKind
    PRIMARY KEY (dst, slot)
) STRICT, WITHOUT ROWID;
CREATE TABLE unmet (                -- of these, until src has its outcome and dst knows
    src INTEGER NOT NULL,
    dst INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    PRIMARY KEY (src, dst, slot)
) STRICT, WITHOUT ROWID;
CREATE TABLE flow (                 -- features/flow_nodes.py
    number INTEGER PRIMARY KEY,     -- of the row in `task` that stands for it
    nodes INTEGER NOT NULL,
    edges INTEGER NOT NULL,
    failed INTEGER NOT NULL,        -- nodes without a value
    first INTEGER NOT NULL,         -- of these the first
    siblings INTEGER NOT NULL,      -- 1: once a node fails the others are cancelled
    cancelled INTEGER NOT NULL,     -- it was asked to end: a CancelReason, or 0
    at INTEGER NOT NULL,            -- up to this node its end, or cancel, is carried out
    callbacks INTEGER NOT NULL,     -- tasks that wait for its end, and have not ended
    until INTEGER NOT NULL,         -- machine time up to which its result is kept at least
    pinned INTEGER NOT NULL,        -- results that are kept as it has not ended
    pinned_bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE unmade (               -- nodes without a value: to run them again
    seq INTEGER PRIMARY KEY,
    code INTEGER NOT NULL,          -- 0: it had none
    spec BLOB NOT NULL,
    payload BLOB NOT NULL,
    worker TEXT NOT NULL            -- as in `pin`; empty: any
) STRICT;
CREATE TABLE pin (                  -- of unfinished tasks that one worker alone may have
    seq INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    worker TEXT NOT NULL            -- its name
) STRICT;
CREATE INDEX pinned_to ON pin (worker, queue, seq);
CREATE TABLE signal (               -- of flows that have not ended (features/signals.py)
    flow INTEGER NOT NULL,
    name TEXT NOT NULL,
    seq INTEGER NOT NULL,           -- the row that waits for it; 0: none does, the value is kept
    value BLOB NOT NULL,
    PRIMARY KEY (flow, name, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE node (
    flow INTEGER NOT NULL,          -- negative: seq waits for its end
    seq INTEGER NOT NULL,
    kept INTEGER NOT NULL,          -- 1: its result; 2: of another flow, for a retry
    PRIMARY KEY (flow, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX node_shared ON node (seq) WHERE kept = 2;
CREATE TABLE schedule (             -- features/schedule_rows.py
    number INTEGER PRIMARY KEY,     -- from the tasks' counter: none is given twice
    id TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,           -- the MODULE:APP that declares it; empty: none does
    declared BLOB NOT NULL,         -- by that code: packed fields (features/schedule_plan.py)
    override BLOB NOT NULL,         -- by operators
    version INTEGER NOT NULL,       -- of both together
    anchor INTEGER NOT NULL,        -- `every` counts from it
    decided INTEGER NOT NULL,       -- of all ticks up to this instant it is known what became
    next INTEGER NOT NULL,          -- the tick after it; before it is computed, `decided` itself
    last INTEGER NOT NULL,          -- the last tick; 0: there was none
    paused INTEGER NOT NULL,        -- 1: its ticks are counted, and make no tasks
    held_decided INTEGER NOT NULL,  -- `decided` and `paused_ticks` when it was paused
    held_ticks INTEGER NOT NULL,
    fired INTEGER NOT NULL,         -- how many ticks made a task, or why they made none
    overlap INTEGER NOT NULL,
    late INTEGER NOT NULL,
    paused_ticks INTEGER NOT NULL,
    full INTEGER NOT NULL
) STRICT;
CREATE TABLE tick (                 -- of tasks without an outcome that schedules made
    seq INTEGER PRIMARY KEY,
    schedule INTEGER NOT NULL,
    at INTEGER NOT NULL             -- the instant that it is for
) STRICT;
CREATE INDEX tick_of ON tick (schedule, seq);
CREATE TABLE name (                 -- of tasks that ended (features/history.py)
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE worker (
    number INTEGER PRIMARY KEY,
    incarnation BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL
) STRICT;
CREATE TABLE attempt (              -- that failed or was lost, and was not the last one
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,        -- from 1 for each task
    worker INTEGER NOT NULL,
    ended INTEGER NOT NULL,         -- machine time
    run_ms INTEGER NOT NULL,
    error TEXT NOT NULL,            -- its beginning
    trace BLOB NOT NULL,            -- for a tracer of the next one; mostly empty
    PRIMARY KEY (seq, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit (                -- features/audit.py
    number INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,          -- machine time
    who TEXT NOT NULL,              -- the key's name
    what TEXT NOT NULL,
    outcome TEXT NOT NULL
) STRICT;
CREATE TABLE mark (                 -- features/marks.py
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    time INTEGER NOT NULL,          -- machine time
    text TEXT NOT NULL
) STRICT;
"""


def make_tables(db: apsw.Connection) -> None:
    """Bring the tables of level 1 to level 2."""
    db.execute(_SCHEMA)


def halted_keys(db: apsw.Connection) -> int:
    """How many keys are halted."""
    return int(db.execute("SELECT count(*) FROM key_order WHERE owner = 0").get)


class ByLevel:
    """A statement with the columns of level 2, or what stands for them below it.

    `{flags}` and the like in its text are such columns, of the table `task`.
    """

    _COLUMNS = ("flags", "place", "lane", "created", "gates", "tenant", "open", "flow")
    _TEXTS = frozenset({"gates", "tenant"})

    def __init__(self, text: str) -> None:
        absent = {name: "''" if name in self._TEXTS else "0" for name in self._COLUMNS}
        self._below = text.format(**absent)
        self._text = text.format(**{name: f"task.{name}" for name in self._COLUMNS})

    def at(self, level: int) -> str:
        """Its text at this level of the cluster."""
        return self._text if level >= LEVEL else self._below
