"""What is set for the cluster, as a program says and reads it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from raftwork.client.caller import Caller
from raftwork.client.cluster import Cluster, ClusterSetting, Mark
from raftwork.client.reply import Reply
from raftwork.features.cluster_settings import (
    DEFAULTS,
    SETTINGS,
    AskClusterSettings,
    ClusterSettingsSet,
    ClusterSettingsTold,
    SetClusterSettings,
    ToldSetting,
    changes,
)
from raftwork.features.marks import AskMarks, MarkRow, MarkSet, MarksTold, SetMark

NEW = ToldSetting("parrots", 1_500, 2_000, "ms", 1_000, 9_000, "Of a newer release")


class FakeApp:
    """Answers every request, and records it."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def call(self, request: object, reply: type[object]) -> Reply[object]:
        self.asked.append(request)
        answer: Reply[object] = Reply()
        if reply is ClusterSettingsTold:
            told = [ToldSetting("dead", 7, 10_000, "tasks", 1, 99, "Dead"), NEW]
            answer.tell(ClusterSettingsTold(0, told))
        else:
            answer.tell(ClusterSettingsSet(0))
        return answer


@pytest.fixture
def app() -> FakeApp:
    return FakeApp()


@pytest.fixture
def cluster(app: FakeApp) -> Cluster:
    return Cluster(cast("Caller", app))


def test_times_are_seconds_or_timedeltas_and_none_is_the_default(
    app: FakeApp, cluster: Cluster
) -> None:
    cluster.set(worker_lease=4.5, dead=7)
    asyncio.run(cluster.aset(worker_lease=timedelta(minutes=1), dead=None))
    assert app.asked == [
        SetClusterSettings(0, changes({"worker_lease": 4_500, "dead": 7})),
        SetClusterSettings(0, changes({"worker_lease": 60_000, "dead": None})),
    ]


def test_settings_are_read_in_seconds_those_of_newer_brokers_too(
    app: FakeApp, cluster: Cluster
) -> None:
    expected = {
        "dead": ClusterSetting(7, 10_000, "tasks", 1, 99, "Dead"),
        "parrots": ClusterSetting(1.5, 2, "s", 1, 9, "Of a newer release"),
    }
    assert cluster.settings() == asyncio.run(cluster.asettings()) == expected
    assert app.asked == [AskClusterSettings(0)] * 2


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_may_have_its_bounds_and_its_default_and_no_more(
    cluster: Cluster, name: str
) -> None:
    setting = SETTINGS[name]
    factor = timedelta(milliseconds=1) if setting.unit == "ms" else 1
    for value in (setting.least, setting.most, getattr(DEFAULTS, name)):
        cluster.set(**{name: cast("Any", value * factor)})
    for value in (setting.least - 1, setting.most + 1):
        with pytest.raises(ValueError, match=f"{name} must be "):
            cluster.set(**{name: cast("Any", value * factor)})


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({}, TypeError, "at least one"),
        ({"parrots": 1}, TypeError, "no such setting: parrots; the settings are tasks, queues"),
        ({"dead": 1.5}, TypeError, "dead must be an int or None, got float"),
        ({"dead": True}, TypeError, "dead must be an int or None, got bool"),
        ({"worker_lease": "5"}, TypeError, "worker_lease must be seconds or a timedelta"),
        ({"worker_lease": 2.9}, ValueError, "worker_lease must be between 3 and 600 s, got 2.9"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    app: FakeApp, cluster: Cluster, given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        cluster.set(**given)
    assert app.asked == []


class Marking:
    """Keeps marks as a leader does."""

    def __init__(self) -> None:
        self.asked: list[SetMark | AskMarks] = []

    def call(self, request: SetMark | AskMarks, reply: type[object]) -> Reply[object]:
        self.asked.append(request)
        answer: Reply[object] = Reply()
        told = MarksTold(0, [MarkRow(7, 1_500, "deploy 7")])
        answer.tell(told if reply is MarksTold else MarkSet(0))
        return answer


def test_a_moment_is_marked_and_marks_are_read_with_their_times() -> None:
    marking = Marking()
    cluster = Cluster(cast("Caller", marking))
    cluster.mark("deploy 7")
    asyncio.run(cluster.amark("deploy 7"))
    first, second = (asked for asked in marking.asked if isinstance(asked, SetMark))
    assert first.text == second.text == "deploy 7"
    assert first.id != second.id  # said twice on purpose, it is there twice
    since = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    at = datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert (
        cluster.marks(since, 3) == asyncio.run(cluster.amarks(since, 3)) == [Mark(at, "deploy 7")]
    )
    assert marking.asked[-1] == AskMarks(0, 1_000, 3)


@pytest.mark.parametrize("text", ["", "x" * 201, 7, "\ud800"])
def test_what_is_no_mark_is_refused(text: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Cluster(cast("Caller", Marking())).mark(text)


def test_marks_are_asked_for_a_thousand_at_a_time_at_most() -> None:
    for limit in (0, 1_001):
        with pytest.raises(ValueError, match="limit must be between 1 and 1000"):
            Cluster(cast("Caller", Marking())).marks(limit=limit)
