"""A follower's rest: in proportion to what was read, over by itself."""

from raftwork.broker.rest import REST, Rest


def test_nobody_rests_before_it_read_anything() -> None:
    assert Rest().left(0.0) == 0.0


def test_reading_takes_a_part_of_the_time_at_most() -> None:
    rest, now, reading = Rest(), 100.0, 0.0
    while now < 200.0:
        if left := rest.left(now):
            now += left
            continue
        rest.earned(now, now + 0.003)
        now, reading = now + 0.003, reading + 0.003
    assert 0.9 < reading * (1 + REST) / 100 < 1.1
