"""The times by which this broker's core goes: its own, where it was given any, else the cluster's.

A change holds here as soon as its entry is applied, or a snapshot that has it, so for a moment
brokers differ. That breaks no promise (consensus/core.py, `retime`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.cluster.readiness import Readiness
    from raftwork.broker.options import Timing
    from raftwork.consensus.core import Consensus
    from raftwork.features.cluster_settings import ClusterSettings


class ElectionTimes:
    """Looks every few ms whether the times have changed."""

    def __init__(
        self,
        timing: Callable[[int], Timing],
        settings: ClusterSettings,
        readiness: Readiness,
    ) -> None:
        """`timing` gives this broker's times under the cluster's election timeout (ms)."""
        self._timing = timing
        self._settings: ClusterSettings | None = None  # of the core
        self._readiness = readiness
        #: Those of now.
        self.timing = timing(settings.election_timeout)

    def keep(self, settings: ClusterSettings, core: Consensus, now: int) -> None:
        """See that the core goes by these settings."""
        if settings is not self._settings:
            self._settings = settings
            self.timing = self._timing(settings.election_timeout)
            self._readiness.patience = self.timing.patience
            core.retime(*self.timing, now)
