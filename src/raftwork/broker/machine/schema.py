"""The machine's tables, which are the whole of its state.

Rules of this file:
1. A task has one row in `task` from its enqueue until its tombstone is dropped; the UNIQUE id there
   is what makes "once in" true. To hand a task out does not touch that row: only a task that comes
   back, ends or is forgotten is rewritten.
2. Where a task is: in `waiting` (or a lane) or in `running` if its phase is PENDING, else in
   neither. The phases after PENDING each end at `due`, by time alone; but for BLOCKED, which ends
   with other tasks.
3. What is written in the order of growing keys (seq, token, due) appends to its B-tree.
"""

from hashlib import blake2b

import apsw

from raftwork.broker.machine import level_two
from raftwork.broker.machine.cluster_settings import write
from raftwork.features.cluster_settings import ClusterSettings
from raftwork.release import RELEASE
from raftwork.wire import pack

#: Of the tables, stored with them. It is the last one: version 2 (of 0.1.0) is brought up to it
#: when a directory is opened (migrations.py), and what comes later is the level's
#: (Ledger.raise_level).
VERSION = 3


#: Each table with the order in which its rows are compared.
TABLES = {
    "machine": "version",
    "queue": "number",
    "task": "seq",
    "waiting": "queue, seq",
    "running": "token",
    "loss": "seq, number",
    "dead": "number",
    "cluster": "level",
    "setting": "name",
}

_SCHEMA = """
CREATE TABLE machine (
    version INTEGER NOT NULL,
    time INTEGER NOT NULL,          -- machine time, ms
    seq INTEGER NOT NULL,           -- the last task's number
    token INTEGER NOT NULL,         -- the last token
    results INTEGER NOT NULL,       -- outcomes whose data are kept
    result_bytes INTEGER NOT NULL,
    tombstones INTEGER NOT NULL
) STRICT;
CREATE TABLE queue (
    number INTEGER PRIMARY KEY,     -- from 1, in order of first use
    name TEXT NOT NULL,
    queued INTEGER NOT NULL,        -- waiting and delayed
    running INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,     -- these three only grow
    failed INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    bytes INTEGER NOT NULL,         -- of the payloads of what is queued
    settings BLOB NOT NULL          -- what was set for it (features/queue_settings.py)
) STRICT;
CREATE TABLE task (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    crc INTEGER NOT NULL,           -- of spec, payload and key
    queue INTEGER NOT NULL,
    key TEXT NOT NULL,              -- what a balancer may place it by; mostly empty
    phase INTEGER NOT NULL DEFAULT 0,
    due INTEGER,                    -- machine time; NULL while PENDING
    state INTEGER NOT NULL DEFAULT 0,       -- the final State, 0 before
    attempt INTEGER NOT NULL DEFAULT 0,     -- hand-outs that came to an end
    failures INTEGER NOT NULL DEFAULT 0,
    losses INTEGER NOT NULL DEFAULT 0,
    spec BLOB NOT NULL,             -- empty once it has its outcome
    body BLOB NOT NULL              -- payload, then result, then empty
) STRICT;
CREATE INDEX timed ON task (phase, due) WHERE due IS NOT NULL;
CREATE TABLE waiting (
    queue INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (queue, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE running (
    token INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    worker BLOB NOT NULL
) STRICT;
CREATE TABLE loss (   -- of tasks that are unfinished or dead
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,        -- from 1 for each task
    worker TEXT NOT NULL,
    exit INTEGER,
    signal INTEGER,
    memory INTEGER,
    time INTEGER NOT NULL,
    PRIMARY KEY (seq, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE dead (   -- what it takes to run it again
    number INTEGER PRIMARY KEY,     -- in the order of their ends
    seq INTEGER NOT NULL UNIQUE,
    queue INTEGER NOT NULL,
    ended INTEGER NOT NULL,         -- machine time
    attempts INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    again TEXT NOT NULL DEFAULT '', -- the id of the task that runs it again
    spec BLOB NOT NULL,
    payload BLOB NOT NULL
) STRICT;
"""


#: What version 3 has besides.
_CLUSTER = """
CREATE TABLE cluster (
    level INTEGER NOT NULL,         -- what entries mean
    release TEXT NOT NULL           -- of the leader that raised it to that; empty at level 0
) STRICT;
CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO cluster VALUES (0, '');
"""


def create_tables(db: apsw.Connection, settings: ClusterSettings, level: int) -> None:
    """Make the tables of a cluster that begins with these settings, at this level."""
    db.execute(_SCHEMA)
    db.execute("INSERT INTO machine VALUES (?, 0, 0, 0, 0, 0, 0)", (VERSION,))
    create_cluster_tables(db, settings, level)


def create_cluster_tables(db: apsw.Connection, settings: ClusterSettings, level: int) -> None:
    """Make those that version 3 has besides those of version 2."""
    db.execute(_CLUSTER)
    write(db, settings)
    if level:
        db.execute("UPDATE cluster SET level = ?, release = ?", (level, RELEASE))
    if level >= level_two.LEVEL:
        level_two.make_tables(db)


def digest(db: apsw.Connection, level: int) -> bytes:
    """BLAKE2b over every row of every table in key order. Slow: it reads them all."""
    digest = blake2b(digest_size=32)
    tables = TABLES | level_two.TABLES if level >= level_two.LEVEL else TABLES
    for table, key in tables.items():
        digest.update(pack(table))
        for row in db.execute(f"SELECT * FROM {table} ORDER BY {key}"):  # noqa: S608 - our names
            digest.update(pack(row))
    return digest.digest()
