"""At which instants a schedule ticks."""

from datetime import UTC, datetime
from itertools import islice, pairwise

import pytest
from cronsim import CronSim

from raftwork.recurrence import Cron, Rule, jittered


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def said(ticks: list[int]) -> list[str]:
    return [datetime.fromtimestamp(tick / 1000, UTC).strftime("%d %H:%M") for tick in ticks]


def first(rule: Rule, since: str, count: int) -> list[str]:
    return said(list(islice(rule.after(at(since)), count)))


def test_a_skipped_time_of_day_is_at_the_first_instant_after_the_gap() -> None:
    rule = Rule(cron="30 2 * * *", tz="Europe/Berlin")
    assert first(rule, "2027-03-27T00:00Z", 3) == ["27 01:30", "28 01:00", "29 00:30"]


def test_several_skipped_times_of_one_gap_are_one_tick() -> None:
    rule = Rule(cron="5,30 2,3 * * *", tz="Europe/Berlin")
    assert first(rule, "2027-03-28T00:00Z", 3) == ["28 01:00", "28 01:05", "28 01:30"]
    exactly = Rule(cron="0,30 2,3 * * *", tz="Europe/Berlin")
    assert first(exactly, "2027-03-28T00:00Z", 3) == ["28 01:00", "28 01:30", "29 00:00"]


def test_a_repeated_time_of_day_is_at_its_first_occurrence() -> None:
    rule = Rule(cron="30 2 * * *", tz="Europe/Berlin")
    assert first(rule, "2027-10-31T00:00Z", 2) == ["31 00:30", "01 01:30"]
    # Also where it is asked for between the two.
    assert first(rule, "2027-10-31T01:10Z", 1) == ["01 01:30"]


def test_minutes_of_real_time_count_a_repeated_hour_twice_and_a_skipped_one_not() -> None:
    rule = Rule(cron="*/30 2 * * *", tz="Europe/Berlin")
    repeated = ["31 00:00", "31 00:30", "31 01:00", "31 01:30"]
    assert first(rule, "2027-10-30T23:00Z", 4) == repeated
    for count in range(1, 4):
        since = at(f"2027-10-31T{repeated[count - 1][3:]}Z")
        assert said([rule.next(since)]) == [repeated[count]]
    assert first(rule, "2027-03-28T00:30Z", 1) == ["29 00:00"]


def test_a_zone_that_moves_by_half_an_hour() -> None:
    rule = Rule(cron="15 2 * * *", tz="Australia/Lord_Howe")  # 02:00 becomes 02:30
    assert first(rule, "2027-10-02T00:00Z", 2) == ["02 15:30", "03 15:15"]


def test_six_fields_begin_with_the_second() -> None:
    rule = Rule(cron="*/20 0 3 * * *")
    ticks = list(islice(rule.after(at("2027-01-01T00:00Z")), 4))
    assert [b - a for a, b in pairwise(ticks)] == [20_000, 20_000, 86_360_000]


def test_seconds_of_a_fixed_time_obey_the_rule_of_times_of_day() -> None:
    rule = Rule(cron="0 30 2 * * *", tz="Europe/Berlin")
    assert first(rule, "2027-10-31T01:10Z", 1) == ["01 01:30"]


@pytest.mark.parametrize(
    ("nickname", "expression"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@Yearly", "0 0 1 1 *"),
    ],
)
def test_nicknames(nickname: str, expression: str) -> None:
    since = "2027-02-03T04:05Z"
    assert first(Rule(cron=nickname), since, 3) == first(Rule(cron=expression), since, 3)


def test_a_starred_day_of_month_must_match_beside_the_weekday() -> None:
    rule = Rule(cron="0 0 */2 * MON")  # as Debian's cron: odd days that are Mondays
    assert first(rule, "2027-03-01T00:00Z", 2) == ["15 00:00", "29 00:00"]


def test_every_counts_from_the_anchor_in_real_time() -> None:
    rule = Rule(every=90_000, anchor=at("2027-01-01T00:00Z"), tz="Europe/Berlin")
    since = at("2027-01-01T00:01:29.999Z")
    assert list(islice(rule.after(since), 2)) == [since + 1, since + 90_001]
    assert rule.next(since + 1) == since + 90_001


def test_every_is_at_its_start_first_and_before_its_anchor_as_well() -> None:
    anchor = at("2027-01-01T00:00Z")
    assert Rule(every=1_000, anchor=anchor, start=anchor).next(anchor - 5_000) == anchor
    assert Rule(every=60_000, anchor=anchor).next(anchor - 90_000) == anchor - 60_000


def test_nothing_ticks_before_the_start_or_after_the_end() -> None:
    start, end = at("2027-01-02T00:00Z"), at("2027-01-03T00:00Z")
    rule = Rule(cron="@daily", start=start, end=end)
    assert list(rule.after(at("2026-01-01T00:00Z"))) == [start, end]
    assert rule.next(end) == 0


def test_a_tick_is_later_than_the_instant_to_the_millisecond() -> None:
    midnight = at("2027-01-02T00:00Z")
    rule = Rule(cron="@daily")
    assert rule.next(midnight - 1) == midnight
    assert rule.next(midnight) == rule.next(midnight + 1) == midnight + 86_400_000


def test_what_matches_no_more_ends() -> None:
    assert Rule(cron="@yearly").next(at("2286-06-01T00:00Z")) == 0


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (Rule(), "either cron or every"),
        (Rule(cron="@daily", every=1_000), "either cron or every"),
        (Rule(every=999), "at least 1 s, got 0.999"),
        (Rule(cron="* * * *"), "4 fields"),
        (Rule(cron="0 0 30 2 *"), "bad day-of-month"),
        (Rule(cron="61 * * * *"), "bad minute: it may be * or 0-59"),
        (Rule(cron="0 0 15W * *"), "bad day-of-month"),
        (Rule(cron="? * * * *"), "bad minute"),
        (Rule(cron="*/0 * * * *"), "bad minute"),
        (Rule(cron="@reboot"), "none of @yearly"),
        (Rule(cron=""), "either cron or every"),
        (Rule(cron="1" * 201), "at most 200 characters, got 201"),
        (Rule(cron="@daily", tz="Europe/Berln"), "no time zone 'Europe/Berln'"),
        (Rule(cron="@daily", tz="../../etc/passwd"), "no time zone"),
        (Rule(cron="@daily", tz="a\0b"), "no time zone"),
        (Rule(cron="@daily", tz=""), "no time zone"),
    ],
)
def test_what_can_never_be_read_is_named(rule: Rule, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("*", r"\*")):
        rule.check()


@pytest.mark.parametrize("text", ["0 0 */31 2 MON#5", "0 0 */31 * MON#5", "0 0 */30 2 SUN#3"])
def test_an_expression_that_never_matches_is_none(text: str) -> None:
    assert next(CronSim(text, datetime.fromisoformat("2027-01-01")), None) is None
    with pytest.raises(ValueError, match="never matches"):
        Cron(text)


def test_one_that_matches_rarely_is_one() -> None:
    assert said([Rule(cron="0 0 29 2 */7").next(at("2027-01-01T00:00Z"))]) == ["29 00:00"]


def test_jitter_is_the_same_each_time_and_never_reaches_the_next_tick() -> None:
    ticks = range(at("2027-01-01T00:00Z"), at("2027-01-01T01:00Z"), 60_000)
    due = [jittered("nightly", tick, tick + 60_000, 300_000) for tick in ticks]
    assert due == [jittered("nightly", tick, tick + 60_000, 300_000) for tick in ticks]
    late = [each - tick for each, tick in zip(due, ticks, strict=True)]
    assert all(0 <= each < 60_000 for each in late) and len(set(late)) > 50
    assert due != [jittered("hourly", tick, tick + 60_000, 300_000) for tick in ticks]
    assert jittered("nightly", 5_000, 0, 0) == 5_000
