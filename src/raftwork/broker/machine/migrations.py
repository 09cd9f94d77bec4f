"""Tables of an earlier release are brought up to date, those of any other are refused.

Only version 2, of 0.1.0, is converted: from level 1 on the shape of the tables is changed by an
entry (Ledger.raise_level), so that replicas of two releases at one level have the same rows.
"""

from typing import Final

import apsw

from raftwork.broker.machine.schema import VERSION, create_cluster_tables, create_tables
from raftwork.errors import OtherRelease
from raftwork.features.cluster_settings import DEFAULTS, ClusterSettings
from raftwork.features.queue_settings import changes
from raftwork.release import RELEASE

_CONVERTED: Final = 2


def create_or_migrate(
    db: apsw.Connection, settings: ClusterSettings = DEFAULTS, level: int = 0
) -> None:
    """Make the tables where there are none, or bring those of 0.1.0 up to date.

    Tables of any other version are left as they are: the Machine refuses them with a reason.
    Settings and level may be others in tests; all replicas of a cluster begin with the same, and
    whatever their tables hold when they are brought up to date, they add the same rows.
    """
    version = version_of(db)
    if version is None:
        create_tables(db, settings, level)
    elif version == _CONVERTED:
        _convert(db)
        create_cluster_tables(db, settings, level)


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
