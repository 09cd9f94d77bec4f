"""The rows of the cluster's settings: the table `setting`, made with the cluster's tables.

They decide what is applied, so they are replicated state, and a committed command changes them
(raftwork/features/cluster_settings.py, where each setting is described).
"""

from dataclasses import astuple

import apsw

from raftwork.errors import OtherRelease
from raftwork.features.cluster_settings import SETTINGS, ClusterSettings


def write(db: apsw.Connection, settings: ClusterSettings) -> None:
    """Make these the replicated settings."""
    rows = zip(SETTINGS, astuple(settings), strict=True)
    db.executemany("INSERT OR REPLACE INTO setting VALUES (?, ?)", rows)


def read(db: apsw.Connection) -> ClusterSettings:
    """The replicated settings. Raises OtherRelease if they are not those that this release has."""
    found: dict[str, int] = dict(db.execute("SELECT name, value FROM setting"))
    if found.keys() != SETTINGS.keys():
        odd = ", ".join(sorted(found.keys() ^ SETTINGS.keys()))
        raise OtherRelease(f"the cluster's settings are of another release (this differs: {odd})")
    return ClusterSettings(**found)
