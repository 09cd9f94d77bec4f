"""A follower's rest: in proportion to what was read, over by itself."""

from raftwork.broker.net.throttle import REST, REST_MAX, Throttle


def test_nobody_rests_before_it_read_anything() -> None:
    assert Throttle().left(0.0) == 0.0


def test_reading_takes_a_part_of_the_time_at_most() -> None:
    rest, now, reading = Throttle(), 100.0, 0.0
    while now < 200.0:
        if left := rest.left(now):
            now += left
            continue
        rest.earned(now, now + 0.003)
        now, reading = now + 0.003, reading + 0.003
    assert 0.9 < reading * (1 + REST) / 100 < 1.1


def test_a_pause_of_the_whole_process_is_not_rested_from() -> None:
    rest = Throttle()
    rest.earned(0.0, 60.0)
    assert 0 < rest.left(60.0) <= REST_MAX
