"""Leader time follows the wall clocks, and is never set back."""

from hypothesis import given
from hypothesis import strategies as st

from raftwork.broker.leader.clock import SET_MS, STEER_MS, LeaderClock
from tests.unit.broker.leadership_harness import LeadershipHarness

START, NOW = 1_000_000, 50


def steered(off: int) -> LeaderClock:
    """One that is `off` ms ahead of the wall clocks."""
    clock = LeaderClock(START, NOW)
    clock.steer(START + STEER_MS - off, NOW + STEER_MS)
    return clock


def test_it_follows_the_monotonic_clock() -> None:
    clock = LeaderClock(START, NOW)
    assert [clock.at(NOW + ms) for ms in (0, 1, 9_999)] == [START, START + 1, START + 9_999]
    assert clock.steer_at == NOW + STEER_MS


def test_far_behind_it_is_set() -> None:
    assert steered(-SET_MS - 1).at(NOW + STEER_MS) == START + STEER_MS + SET_MS + 1


def test_a_little_behind_it_gains_a_tenth_until_it_is_equal() -> None:
    clock, begins = steered(-400), NOW + STEER_MS
    assert clock.at(begins) == START + STEER_MS
    assert clock.at(begins + 1_000) == START + STEER_MS + 1_100
    assert clock.at(begins + 4_000) == START + STEER_MS + 4_400
    assert clock.at(begins + 9_000) == START + STEER_MS + 9_400


def test_ahead_it_loses_a_tenth_until_it_is_equal() -> None:
    clock, begins = steered(600), NOW + STEER_MS
    assert clock.at(begins) == START + STEER_MS
    assert clock.at(begins + 1_000) == START + STEER_MS + 900
    assert clock.at(begins + 6_000) == START + STEER_MS + 5_400
    assert clock.at(begins + 9_000) == START + STEER_MS + 8_400


@given(
    st.lists(st.tuples(st.integers(1, 30_000), st.integers(-5_000_000, 5_000_000)), max_size=8),
    st.integers(1, 20_000),
)
def test_it_is_never_set_back_and_no_duration_is_shorter_than_by_a_tenth(
    walls: list[tuple[int, int]], step: int
) -> None:
    clock, now, last = LeaderClock(START, NOW), NOW, START
    for later, off in walls:
        now += later
        last = clock.at(now)
        clock.steer(last + off, now)
        assert clock.at(now) >= last
        before = clock.at(now)
        assert clock.at(now + step) - before <= step + step // 10
        assert clock.at(now + step) - before >= step - step // 10 - 1


@given(st.integers(-100_000, 600), st.integers(0, 200_000))
def test_it_says_when_a_time_comes(off: int, later: int) -> None:
    clock = steered(-off)
    time = clock.at(NOW + STEER_MS) + later
    when = clock.when(time)
    assert clock.at(when) >= time
    assert later == 0 or clock.at(when - 1) < time or clock.at(when - 2) < time


def test_a_leadership_is_steered_by_the_median_of_the_walls() -> None:
    harness = LeadershipHarness()
    walls = [0]
    harness.lead._wall = lambda now: harness.lead._clock.at(now) + walls[0]
    began = harness.lead.time(harness.now)
    harness.turn(STEER_MS - 1)
    walls[0] = 3_600_000
    harness.turn(300)
    assert harness.lead.time(harness.now) == began + STEER_MS + 299 + 3_600_000
    walls[0] = -3_600_000  # set back: it goes on, slower
    harness.turn(STEER_MS)
    before = harness.lead.time(harness.now)
    harness.turn(1_000)
    assert harness.lead.time(harness.now) == before + 900
