"""Ticks of one entry: what becomes of them together is what becomes of them one by one."""

from random import Random

import pytest

from raftwork.broker.machine import ClusterSettings
from raftwork.features.effects import Effect, QueuedInLane, ScheduleMoved
from raftwork.features.limits import ConfigureLimit
from raftwork.features.queue_settings import Configure
from raftwork.features.schedule_plan import Fields, Overlap, encode_fields, pack_extras
from raftwork.features.schedule_rows import Row
from raftwork.features.schedule_ticks import Fire, Tick, tick_id
from raftwork.messages import Extras, Spec, encode_spec
from raftwork.wire import pack
from tests.unit.broker.machine.driver import change_of
from tests.unit.broker.queues import Queues, enqueue

HOUR = 3_600_000
#: Most are ordinary, as then they enter together.
SPECS = (
    *(Spec("job", "default"),) * 30,
    Spec("job", "short"),
    Spec("urgent", "default", priority=9),
    Spec("later", "default", delay=5_000),
    Spec("few", "default", limits=("stripe",)),
    Spec("gone", "default", limits=("nobody",)),
)
EXTRAS = (
    *(Extras(),) * 20,
    *(Extras(unique="k"),) * 4,
    Extras(tenant="acme"),
    Extras(tags=[("a", "b")]),
)
OVERLAPS = (*(Overlap.SKIP,) * 30, *Overlap)


def due(number: int, fields: Fields, *, paused: bool = False) -> Row:
    """A schedule whose tick is due."""
    packed = encode_fields(fields._replace(every=HOUR))
    return Row(number, f"s{number}", "", packed, b"", 1, 0, 0, HOUR, 0, int(paused))


def schedule(rng: Random, number: int) -> Row:
    """Any."""
    fields = Fields(
        encode_spec(rng.choice(SPECS)),
        b"\x90" * rng.randint(0, 2),
        pack_extras(rng.choice(EXTRAS)),
        overlap=rng.choice(OVERLAPS),
        limit=rng.choice((0, 0, 1)),
    )
    return due(number, fields, paused=rng.random() < 0.1)


def tick(rng: Random, row: Row) -> Tick:
    """Of this schedule, mostly the one that is due."""
    late, run = rng.choice((0, 0, 0, 2)), rng.random() < 0.9
    known, at = rng.choice((0,) * 9 + (1,)), rng.choice((HOUR,) * 9 + (3 * HOUR,))
    return Tick(row.number, 1, known, at, at + HOUR, late, run)


class Cluster:
    """A replica with schedules, some of whose tasks of earlier ticks have no outcome."""

    def __init__(
        self, rows: list[Row], busy: list[Tick], ids: list[str], settings: ClusterSettings
    ) -> None:
        self.queues = Queues(settings, time=HOUR - 1)
        self.queues.apply(Configure("short", change_of(max_length=2)))
        self.queues.apply(ConfigureLimit("stripe", pack({"concurrency": 1})))
        for row in rows:
            self.queues.machine.state.schedules.put(row, None, [])
        self.queues.apply(Fire(busy))
        if ids:
            self.queues.apply(enqueue(*ids))
        self.queues.time = HOUR

    def fire(self, *ticks: Tick) -> list[Effect]:
        return self.queues.apply(Fire([*ticks])).effects

    def tables(self) -> dict[str, list[object]]:
        """All that is stored."""
        db = self.queues.db
        self.queues.machine.flush()
        names = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        return {name: sorted(db.execute(f"SELECT * FROM {name}")) for name in names}

    def counts(self) -> dict[str, tuple[int, int]]:
        rows = self.queues.machine.state.schedules.after("", 100)
        return {row.id: (row.fired, row.full) for row in rows if row.fired or row.full}


def told(effects: list[Effect]) -> tuple[set[str], dict[int, int]]:
    """What the dispatcher hears, however many tasks it is told of at once, and then the planner."""
    heard: set[str] = set()
    moved: dict[int, int] = {}
    for effect in effects:
        if isinstance(effect, QueuedInLane):
            heard.update(f"{effect.queue} {effect.lane} {task}" for task in effect.tasks)
        elif isinstance(effect, ScheduleMoved):
            moved[effect.number] = effect.next
        else:
            heard.add(repr(effect))
    return heard, moved


@pytest.mark.parametrize("seed", range(150))
def test_together_they_do_what_they_do_one_by_one(seed: int) -> None:
    rng = Random(seed)
    rows = [schedule(rng, number) for number in range(1, 16)]
    ticks = [tick(rng, row) for row in rows]
    busy = [Tick(row.number, 1, 0, 0, HOUR) for row in rows if rng.random() < 0.2]
    settings = ClusterSettings(tasks=rng.choice((5, 10, 100)), queues=rng.choice((1, 2, 100)))
    ids = [tick_id(row.id, HOUR) for row in rows if rng.random() < 0.1]
    together, alone = Cluster(rows, busy, ids, settings), Cluster(rows, busy, ids, settings)
    effects = together.fire(*ticks)
    one_by_one = [effect for each in ticks for effect in alone.fire(each)]
    assert together.tables() == alone.tables()
    assert told(effects) == told(one_by_one)


def test_those_for_which_there_is_no_room_are_counted_as_such() -> None:
    fields = Fields(encode_spec(Spec("job", "short")), b"\x90", overlap=Overlap.SKIP)
    rows = [due(number, fields) for number in range(1, 6)]
    cluster = Cluster(rows, [], [], ClusterSettings())
    cluster.fire(*(Tick(row.number, 1, 0, HOUR, 2 * HOUR) for row in rows))
    fired, full = (1, 0), (0, 1)
    assert cluster.counts() == {"s1": fired, "s2": fired, "s3": full, "s4": full, "s5": full}
