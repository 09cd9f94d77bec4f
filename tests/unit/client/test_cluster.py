"""What is set for the cluster, as a program says and reads it."""

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest

from raftwork.client.caller import Caller
from raftwork.client.cluster import Cluster, ClusterSetting
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
