"""The cluster's settings while everything runs: in some worlds they change time and again.

Leases become longer and shorter while workers hold tasks, and what is told of them must have stood.
What is drawn comes from a stream of its own.
"""

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

from raftwork.consensus.core import Position
from raftwork.features.cluster_settings import (
    DEFAULTS,
    AskClusterSettings,
    ClusterSettings,
    ClusterSettingsTold,
    ConfigureCluster,
    SetClusterSettings,
    changes,
    values_of,
)
from tests.sim.system.promises import require

if TYPE_CHECKING:
    from tests.sim.system.world import World

#: The share of worlds in which they change, and how far changes are apart there, ms.
_SHARE, _EVERY = 0.3, 1_500
_LEASES = (None, 3_000, 4_000, 6_000, 6_000, 6_000)
_RECONNECTS = (None, 500, 1_000, 3_000)


@dataclass(slots=True)
class Stood:
    """What was set, entry by entry."""

    #: Where each change was applied, and what has stood since.
    changed_at: list[Position] = field(default_factory=list)
    settings: list[ClusterSettings] = field(default_factory=lambda: [DEFAULTS])
    changes: list[ConfigureCluster] = field(default_factory=list)

    def configure(self, at: Position, change: ConfigureCluster) -> None:
        self.changed_at.append(at)
        self.changes.append(change)
        self.settings.append(replace(self.settings[-1], **dict(change.values)))

    def between(self, start: Position, end: Position) -> list[ClusterSettings]:
        """What stood from when everything up to `start` was applied until that up to `end` was."""
        first, last = (bisect_right(self.changed_at, at) for at in (start, end))
        return self.settings[first : last + 1]

    def compare(self, name: str, at: Position, held: ClusterSettings) -> None:
        """A replica that has applied everything up to `at` has the settings of that moment."""
        (stands,) = self.between(at, at)
        require(
            held == stands,
            "settings stand",
            lambda: f"{name} holds {held} for the cluster at {at}, set was {stands}",
        )


def told(answer: ClusterSettingsTold) -> ClusterSettings:
    """What a leader says."""
    return ClusterSettings(**{each.name: each.value for each in answer.settings})


def asked_for(request: SetClusterSettings) -> ConfigureCluster:
    """The entry that carries it out."""
    return ConfigureCluster(sorted(values_of(request.changes).items()))


class ClusterAdmin:
    """Asks by way of the clients."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = Random(f"cluster settings of {world.seed}")
        self._there = self._rng.random() < _SHARE

    def begin(self) -> None:
        """From now on until there is peace."""
        if self._there and not self._world.peaceful:
            self._rng.choice(self._world.users).inquire(self._draw())
            self._world.timeline.after(self._rng.randint(1, 2 * _EVERY), self.begin)

    def press(self) -> None:
        """Two lead: one client sets something, every other asks what is set."""
        if self._there:
            setter = self._rng.choice(self._world.users)
            for user in self._world.users:
                change = SetClusterSettings(0, changes({"sweep": self._rng.randint(100, 999)}))
                user.inquire(change if user is setter else AskClusterSettings(0))

    def _silence(self) -> None:
        """A worker is stopped for longer than a lease where none is set; its connection stays."""
        worker = self._rng.choice(self._world.workers)
        if worker.alive and not worker.paused and not self._world.peaceful:
            worker.pause(self._rng.randint(3_300, 4_500))

    def _draw(self) -> SetClusterSettings | AskClusterSettings:
        rng, values = self._rng, dict[str, int | None]()
        match rng.randrange(10):
            case 0 | 1:
                return AskClusterSettings(0)
            case 2:
                values["worker_lease"] = 100  # shorter than any may be
            case 3:
                values = {"dead": rng.choice((1, 3, 10_000)), "sweep": rng.randint(100, 999)}
            case 4 if rng.random() < 0.5:
                values["election_timeout"] = rng.choice((None, 500, 600, 1_000, 1_200))
            case 4:
                values = {"worker_lease": None, "worker_reconnect": None}
            case 5 | 6:
                values["worker_reconnect"] = rng.choice(_RECONNECTS)
            case _:
                values["worker_lease"] = rng.choice(_LEASES)
                self._world.timeline.after(rng.randint(300, 1_500), self._silence)
        return SetClusterSettings(0, changes(values))
