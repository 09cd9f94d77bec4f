"""The limits that a trial sets for its load."""

from random import Random

import pytest

from raftwork import App, Unsupported
from raftwork.chaos.history import line, parse
from raftwork.chaos.limits import LIMITS, TrialLimits
from raftwork.chaos.mix import MIX, draw
from raftwork.client.limits import Limits
from tests.unit.client.scheduled_app import ScheduledApp


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> ScheduledApp:
    app = ScheduledApp()
    monkeypatch.setattr("raftwork.chaos.limits.App", lambda **_: app)
    monkeypatch.setattr(app, "close", lambda: None)
    return app


def names(app: App) -> list[str]:
    return [limit.name for limit in app.limits.list()]


def test_they_are_set_as_the_history_has_them_and_deleted_in_the_end(app: ScheduledApp) -> None:
    app.limits.set("others", concurrency=1)
    limits = TrialLimits("127.0.0.1:1", "abc")
    limits.end()  # it never began
    events = limits.begin()
    assert [parse(line(event).strip())[1:] for event in events] == [
        ("abc-few", 2, 0.0, 1, 0),
        ("abc-keyed", 1, 0.0, 1, 1),
        ("abc-paced", 0, 2.0, 1, 1),
    ]
    assert names(app) == ["abc-few", "abc-keyed", "abc-paced", "others"]
    assert [app.limits.get(event.limit).rate for event in events] == [None, None, "2/s"]
    limits.end()
    assert names(app) == ["others"]


def test_a_cluster_whose_level_knows_none_gets_none(
    app: ScheduledApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object, **__: object) -> None:
        raise Unsupported("limits need level 2")

    monkeypatch.setattr(Limits, "set", unsupported)
    limits = TrialLimits("127.0.0.1:1", "abc")
    assert limits.begin() == []
    limits.end()


def test_the_load_names_those_of_its_trial_and_the_history_says_which() -> None:
    rng = Random(1)
    batches = [draw(MIX, rng, "abc-c7") for _ in range(2_000)]
    limited = [batch for batch in batches if "limits" in batch.options]
    for batch in limited:
        assert batch.wanted["limits"].split(",") == list(batch.options.get("limits", ()))
        assert batch.wanted["key"] == batch.key
    named = [batch.wanted["limits"].split(",") for batch in limited]
    assert {name for names in named for name in names} == {f"abc-{kind}" for kind in LIMITS}
    assert {len(names) for names in named} == {1, 2, len(LIMITS)}
