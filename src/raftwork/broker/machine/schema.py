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
from typing import Final

import apsw

from raftwork.broker.machine import level_two
from raftwork.broker.machine.cluster_settings import write
from raftwork.errors import OtherRelease
from raftwork.features.cluster_settings import DEFAULTS, ClusterSettings
from raftwork.features.queue_settings import changes
from raftwork.release import RELEASE, Levels
from raftwork.wire import pack

#: Of the tables, stored with them. It is the last one: version 2 (of 0.1.0) is brought up to it
#: when a directory is opened, and what comes later is the level's (Ledger.raise_level).
VERSION = 3

_CONVERTED: Final = 2

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


def create_tables(
    db: apsw.Connection, settings: ClusterSettings = DEFAULTS, level: int = 0
) -> None:
    """Make the tables where there are none, or bring those of 0.1.0 up to date.

    Tables of any other version are left as they are: the Machine refuses them with a reason.
    Settings and level may be others in tests; all replicas of a cluster begin with the same, and
    whatever their tables hold when they are brought up to date, they add the same rows.
    """
    version = version_of(db)
    if version is None:
        db.execute(_SCHEMA)
        db.execute("INSERT INTO machine VALUES (?, 0, 0, 0, 0, 0, 0)", (VERSION,))
    elif version == _CONVERTED:
        _convert(db)
    if version in (None, _CONVERTED):
        db.execute(_CLUSTER)
        write(db, settings)
        if level:
            db.execute("UPDATE cluster SET level = ?, release = ?", (level, RELEASE))
        if level >= level_two.LEVEL:
            level_two.make_tables(db)


def _convert(db: apsw.Connection) -> None:
    """Bring version 2 to the shape of version 3: what was set for a queue becomes one value."""
    set_: list[tuple[int, str, int, int]] = list(
        db.execute("SELECT number, balancer, max_length, max_bytes FROM queue")
    )
    db.execute("ALTER TABLE queue ADD COLUMN settings BLOB NOT NULL DEFAULT x''")
    for number, balancer, max_length, max_bytes in set_:
        values: dict[str, str | int] = {
            "balancer": balancer,
            "max_length": max_length,
            "max_bytes": max_bytes,
        }
        given = {name: value for name, value in values.items() if value}
        db.execute("UPDATE queue SET settings = ? WHERE number = ?", (changes(**given), number))
    for name in ("balancer", "max_length", "max_bytes"):
        db.execute(f"ALTER TABLE queue DROP COLUMN {name}")
    db.execute("UPDATE machine SET version = ?", (VERSION,))


def version_of(db: apsw.Connection) -> int | None:
    """Of the tables that are there; None if there are none."""
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'machine'").fetchone():
        return None
    row: tuple[int] | None = db.execute("SELECT version FROM machine").fetchone()
    return row[0] if row else 0


def check_version(db: apsw.Connection) -> None:
    """Raise OtherRelease unless the tables are of this release's version."""
    found = version_of(db)
    if found == VERSION:
        return
    text = (
        f"{db.filename or 'the database'}: the queue's tables are of version {found or 'none'},"
        f" raftwork {RELEASE} reads version {VERSION} and converts version {_CONVERTED}"
    )
    if found is not None and found > VERSION:
        raise OtherRelease(f"{text}: start this broker with the newer release that wrote them")
    raise OtherRelease(
        f"{text}: run the older version of raftwork that wrote them until no task is left, then"
        " stop every broker of the cluster, move every data directory away and start all brokers"
        " with empty ones"
    )


def check_level(level: int, release: str, levels: Levels, *, blank: bool = False) -> None:
    """Raise OtherRelease unless this release runs the level, which `release` set.

    Tables without an applied entry are at level 0 and fit any release: the first entry is a Raise.
    """
    if blank and level == 0:
        return
    if level > levels.most:
        raise OtherRelease(
            f"this cluster is at level {level}, raised by raftwork {release}; this is {RELEASE},"
            f" which runs {levels}: start this broker with raftwork {release} or later"
        )
    if level < levels.least:
        raise OtherRelease(
            f"this cluster is at level {level}; this is raftwork {RELEASE}, which runs {levels}:"
            f" start every broker with the last release that runs level {level}, run `raftwork"
            " upgrade finish`, and then start this one"
        )


def digest(db: apsw.Connection, level: int) -> bytes:
    """BLAKE2b over every row of every table in key order. Slow: it reads them all."""
    digest = blake2b(digest_size=32)
    tables = TABLES | level_two.TABLES if level >= level_two.LEVEL else TABLES
    for table, key in tables.items():
        digest.update(pack(table))
        for row in db.execute(f"SELECT * FROM {table} ORDER BY {key}"):  # noqa: S608 - our names
            digest.update(pack(row))
    return digest.digest()
