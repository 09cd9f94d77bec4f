"""What kind of world a seed makes: sizes, speeds, bounds and the kind of its faults."""

import random
from dataclasses import dataclass
from enum import StrEnum

from raftwork.consensus.raft import Config


class Kind(StrEnum):
    """What the faults of a world are like (faults.py)."""

    PLAIN = "plain"
    #: They strike elections: contended terms, voters that die having voted, leaders unheard.
    STORM = "storm"
    #: They follow the scripts of old disasters.
    PLOT = "plot"


#: How many replicas a world has. A plot's script is for three, and does for more.
_SIZES = {
    Kind.PLAIN: (1, 2, 3, 3, 3, 3, 3, 4, 4, 5, 5, 6, 7),
    Kind.STORM: (3, 3, 3, 3, 3, 3, 4, 5, 5, 6, 7),
    Kind.PLOT: (3, 3, 3, 3, 4, 5),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What kind of world a seed makes. Times in milliseconds of virtual time."""

    size: int
    duration: int
    loss: float
    duplicates: float
    delay: int
    sync: int
    tail: int
    padding: int
    fault_every: int
    op_every: int
    restart: int
    kind: Kind
    config: Config

    @classmethod
    def draw(cls, rng: random.Random, kind: Kind | None = None) -> "Shape":
        kind = kind or rng.choices(list(Kind), (5, 4, 1))[0]
        storm, plot = kind is Kind.STORM, kind is Kind.PLOT
        tight = rng.random() < 0.5
        config = Config(
            heartbeat=30,
            heartbeat_at_rest=50,
            election_min=150,
            election_max=rng.choice((165, 300)),
            window_messages=1 if plot else rng.choice((1, 1, 3, 64)),
            window_bytes=400 if tight else 1_000_000,
            append_bytes=1 if plot else rng.choice((1, 1, 120, 100_000)),
            uncommitted_bytes=1_500 if tight else 1_000_000,
            apply_entries=rng.choice((2, 1_000)),
            apply_bytes=rng.choice((100, 100_000)),
            tail_bytes=rng.choice((1, 300, 100_000)),
            chunk_bytes=rng.choice((40, 100_000)),
            chunk_window=rng.choice((1, 3)),
        )
        return cls(
            size=rng.choice(_SIZES[kind]),
            duration=5_500 if plot else rng.randint(1_500, 4_000),
            loss=rng.choice((0.0, 0.0, 0.02, 0.2)),
            duplicates=rng.choice((0.0, 0.0, 0.05)),
            delay=2 if plot else rng.choice((10, 20, 40) if storm else (1, 4, 20, 50)),
            sync=rng.choice((0, 2, 15)),
            tail=rng.choice((0, 3, 1_000)),
            padding=rng.choice((0, 100, 400)),
            fault_every=rng.choice((25, 50) if storm else (60, 200, 600)),
            op_every=60 if plot else rng.choice((20, 50) if storm else (5, 20)),
            restart=rng.choice((5, 30) if storm else (60, 600)),
            kind=kind,
            config=config,
        )
