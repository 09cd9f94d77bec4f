"""Wall-clock times and instants, and a machine without a tz database."""

from datetime import datetime

import pytest

from raftwork.recurrence.zone import zone


def shown(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_time_is_shown_once_twice_or_never() -> None:
    berlin = zone("Europe/Berlin")
    assert berlin.instants(shown("2027-01-01")) == (1798758000,)
    first, second = berlin.instants(shown("2027-10-31T02:30"))
    assert second - first == 3600
    assert berlin.instants(shown("2027-03-28T02:30")) == ()
    assert berlin.after_gap(shown("2027-03-28T02:30")) == 1806195600


def test_utc_needs_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    zone.cache_clear()
    monkeypatch.setattr("zoneinfo.ZoneInfo", _nothing_there)
    assert zone("UTC").instants(shown("1970-01-02")) == (86_400,)
    with pytest.raises(ValueError, match=r"no tz database .*pip install tzdata"):
        zone("Europe/Berlin")
    zone.cache_clear()


def _nothing_there(name: str) -> None:
    raise ModuleNotFoundError(f"no zone {name}")
