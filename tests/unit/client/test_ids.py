"""Task ids are UUIDs of version 7 that grow."""

import threading
import time
import uuid

from raftwork.client.ids import IdGenerator
from tests.unit.client.interrupts import everywhere


def test_an_id_is_a_uuid_of_version_7_with_the_time_in_ms() -> None:
    before = time.time_ns() // 1_000_000
    made = IdGenerator().make(1)[0]
    after = time.time_ns() // 1_000_000
    parsed = uuid.UUID(made)
    assert str(parsed) == made
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert before <= parsed.int >> 80 <= after


def test_ids_grow_within_a_batch_and_from_batch_to_batch() -> None:
    generator = IdGenerator()
    ids = [i for count in (1, 5_000, 1, 5_000) for i in generator.make(count)]
    assert ids == sorted(set(ids))


def test_ids_grow_when_the_clock_goes_back() -> None:
    generator = IdGenerator()
    first = generator.make(1)[0]
    generator._last.ms += 3_600_000  # as if the clock had been an hour ahead
    ahead = generator.make(1)[0]
    assert first < ahead < generator.make(1)[0]


def test_ids_of_several_threads_do_not_meet() -> None:
    generator = IdGenerator()
    made: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: made.append(generator.make(2_000))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({i for ids in made for i in ids}) == 8_000


def test_ids_made_while_ids_are_made_are_others_and_greater_than_those_before() -> None:
    """As by a signal's handler that interrupts `make` anywhere."""
    generator = IdGenerator()
    within: list[str] = []
    for place in everywhere(lambda: within.extend(generator.make(3))):
        within.clear()
        before = generator.make(1)
        outer = place.run(lambda: generator.make(3))
        after = generator.make(1)
        ids = [*before, *sorted([*outer, *within]), *after]
        assert ids == sorted(set(ids))
        assert outer == sorted(outer)
        assert within == sorted(within)


def test_a_reseeded_generator_makes_other_ids() -> None:
    generator = IdGenerator()
    state = generator._random.getstate()
    generator.reseed()
    assert generator._random.getstate() != state
