"""What kind of world a seed makes: drawn once, before anything happens."""

from dataclasses import dataclass
from random import Random

from raftwork.consensus.raft import Config
from tests.sim.system.network import Weather
from tests.sim.system.timeline import Timeline

#: Every kind of fault. A seed leaves about half of them out, so that the others come in pairs.
FAULTS = (
    "kill broker",
    "power cut",
    "blackout",
    "crash in commit",
    "pause broker",
    "isolate broker",
    "one-way cut",
    "partial cut",
    "split",
    "cut off client or worker",
    "reset connection",
    "slow disk",
    "hung disk",
    "failing disk",
    "rotten bit",
    "lost directory",
    "kill worker",
    "pause worker",
    "drain worker",
    "kill client",
    "graceful stop",
    "transfer",
    "clock jump",
)
#: Those that came later draw from the second stream.
LATER_FAULTS = ("pause client",)
#: How many brokers a world has, and how often so many.
SIZES = {3: 0.6, 4: 0.12, 5: 0.14, 6: 0.06, 7: 0.08}
#: For how long before there is peace all runs but links between brokers, in some worlds.
APART = 7_000
#: Of those that would leave nothing to look at if they came as often as the others.
_RARE = {"blackout": 0.3, "lost directory": 0.5, "rotten bit": 0.7}


@dataclass(frozen=True, slots=True)
class Shape:
    """Times are ms of virtual time."""

    #: Brokers.
    size: int
    faults: tuple[str, ...]
    weights: tuple[float, ...]
    fault_every: int
    op_every: int
    #: When faults end, and the world must mend itself.
    peace_at: int
    #: Whether before that only links between brokers are down (apart.py).
    apart: bool
    weather: Weather
    disk_slow: int
    #: Log entries a replica keeps behind what it applied.
    tail: int
    drift_ppm: int
    fatal: float
    #: How long past a task's limit the leader leaves its end to the worker.
    expiry_grace: int
    balancer: str
    #: How often (ms) somebody changes what is set for a queue; 0: never.
    set_every: int
    #: The share of enqueues that wait for room.
    wait_when_full: float
    #: The shares of workers whose code does not know every task, and under which all are lost.
    strangers: float
    killers: float
    config: Config
    #: Whether a leader is left behind, early on (plots.py).
    plot: bool
    #: Whether pushes are held back, early on.
    held: bool
    #: Whether an epoch is offered in vain, early on.
    offered: bool
    #: Whether work done for others raises now and then (bugs.py).
    bugs: bool
    #: The store in memory, or the real one over files.
    real_store: bool

    @classmethod
    def draw(cls, timeline: Timeline, *, real_store: bool) -> "Shape":
        rng, second, third = timeline.rng, timeline.second, timeline.third
        faults = tuple(kind for kind in FAULTS if rng.random() < 0.5)
        faults += tuple(kind for kind in LATER_FAULTS if second.random() < 0.5)
        rough = rng.random() < 0.4
        weather = Weather(
            delay=rng.choice((1, 1, 4, 25)),
            loss=rng.choice((0.01, 0.05)) if rough else 0.0,
            consensus_loss=rng.choice((0.0, 0.02, 0.15)),
            duplicates=rng.choice((0.0, 0.0, 0.05)),
            overtaking=rng.random() < 0.3,
            congestion=rng.choice((0.0, 0.0, 0.3)),
        )
        (size,) = timeline.fifth.choices(list(SIZES), list(SIZES.values()))
        apart = timeline.fifth.random() < 0.2
        return cls(
            size=size,
            faults=faults,
            weights=tuple(_RARE.get(kind, 1.0) for kind in faults),
            fault_every=rng.choice((250, 500, 1_200, 3_000)),
            op_every=rng.choice((120, 250, 500)),
            peace_at=rng.randint(9_000, 13_000) + apart * APART,
            apart=apart,
            weather=weather,
            disk_slow=rng.choice((0, 2, 15)),
            tail=rng.choice((4, 20, 60, 1_000)),
            drift_ppm=rng.choice((0, 100, 5_000)),
            fatal=rng.choice((0.0, 0.05, 0.15)),
            expiry_grace=rng.choice((200, 5_000)),
            balancer=rng.choice(("weighted", "round_robin", "random")),
            set_every=second.choice((0, 0, 0, 400, 1_500)),
            wait_when_full=second.choice((0.2, 0.6)),
            strangers=0.4 if third.random() < 0.15 else 0.0,
            killers=0.3 if third.random() < 0.15 else 0.0,
            plot=timeline.fourth.random() < 0.05,
            held=timeline.fourth.random() < 0.05,
            offered=timeline.fourth.random() < 0.1,
            # Not before brokers are apart: a snapshot that failed is made again after up to 12 s,
            # and who can lead by the links that are left may need just that one.
            bugs=timeline.bugs.random() < 0.5 and not apart,
            config=_config(rng),
            real_store=real_store,
        )


def _config(rng: Random) -> Config:
    """Production's timings; bounds small enough to be met."""
    tight = rng.random() < 0.4
    return Config(
        window_messages=rng.choice((2, 64)),
        window_bytes=2_000 if tight else 1_000_000,
        append_bytes=rng.choice((500, 100_000)),
        apply_entries=rng.choice((3, 1_000)),
        apply_bytes=rng.choice((1_000, 1_000_000)),
        tail_bytes=rng.choice((1, 2_000, 1_000_000)),
        chunk_bytes=rng.choice((20_000, 60_000)),
        chunk_window=rng.choice((1, 3)),
        uncommitted_bytes=rng.choice((20_000, 1_000_000)),
    )
