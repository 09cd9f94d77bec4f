"""The cluster's settings over the wire: told whole, changed by name, lowered by steps."""

from dataclasses import replace

import pytest

from raftwork.broker.machine.commands import Assign, Fail
from raftwork.features import cluster_settings
from raftwork.features.cluster_settings import (
    DEFAULTS,
    SETTINGS,
    AskClusterSettings,
    ClusterSettings,
    ClusterSettingsSet,
    ClusterSettingsTold,
    ConfigureCluster,
    SetClusterSettings,
    changes,
)
from raftwork.messages import Code, Failure, Refused, encode_failure
from raftwork.wire import pack
from tests.unit.broker.request_harness import RequestHarness


@pytest.fixture
def harness() -> RequestHarness:
    return RequestHarness()


def change(request: int = 7, **values: int | None) -> SetClusterSettings:
    return SetClusterSettings(request, changes(values))


def steps(harness: RequestHarness, asked: SetClusterSettings) -> list[ConfigureCluster]:
    """What is applied until the change is acknowledged."""
    assert harness.ask(asked) == []
    made = []
    for _ in range(99):
        for wanted in harness.processor.wanted():
            command = wanted.command(harness.view)
            assert isinstance(command, ConfigureCluster)
            made.append(command)
            harness.processor.applied(wanted, harness.queues.apply(command).replies[0])
        if answers := harness.sent():
            assert answers == [ClusterSettingsSet(asked.request)]
            return made
        harness.next_turn()
    raise AssertionError("it never ended")


def test_every_setting_is_told_with_all_that_is_to_be_known_of_it(harness: RequestHarness) -> None:
    harness.done(change(dead=7))
    (told,) = harness.told(AskClusterSettings(8))
    assert isinstance(told, ClusterSettingsTold)
    assert [each.name for each in told.settings] == list(SETTINGS)
    by_name = {each.name: each for each in told.settings}
    assert (by_name["dead"].value, by_name["dead"].default) == (7, 10_000)
    assert by_name["tasks"].value == by_name["tasks"].default == 2_000_000
    assert by_name["worker_lease"][3:] == tuple(SETTINGS["worker_lease"])
    assert all(each.help and each.unit for each in told.settings)


def test_what_is_given_is_changed_and_the_rest_stays(harness: RequestHarness) -> None:
    assert harness.done(change(dead=7, worker_lease=5_000)) == [ClusterSettingsSet(7)]
    assert harness.done(change(8, tasks=3)) == [ClusterSettingsSet(8)]
    assert harness.machine.settings == replace(DEFAULTS, dead=7, worker_lease=5_000, tasks=3)


def test_none_is_the_default_and_the_log_says_its_value(harness: RequestHarness) -> None:
    """Another release may have another default by the time it applies the entry."""
    harness.done(change(dead=7, tasks=3))
    harness.say(change(8, dead=None))
    assert harness.wanted() == [ConfigureCluster([("dead", 10_000)])]
    harness.done(change(9, dead=None))
    assert harness.machine.settings == replace(DEFAULTS, tasks=3)


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (
            change(worker_lease=100),
            Code.PROTOCOL,
            "worker_lease must be between 3000 and 600000 ms",
        ),
        (change(parrots=1), Code.UNSUPPORTED, "no such setting: parrots; there are tasks, queues"),
        (change(parrots=None), Code.UNSUPPORTED, "no such setting: parrots"),
        (SetClusterSettings(7, pack({})), Code.PROTOCOL, "at least one"),
        (SetClusterSettings(7, pack([1])), Code.PROTOCOL, "a map of settings"),
        (SetClusterSettings(7, pack({"dead": "many"})), Code.PROTOCOL, "must be a number"),
        (SetClusterSettings(7, pack({"dead": True})), Code.PROTOCOL, "must be a number"),
        (SetClusterSettings(7, b"\xc1"), Code.PROTOCOL, ""),
        (SetClusterSettings(7, b"x" * 5_000), Code.PROTOCOL, "changes must have 1 to 4096 bytes"),
    ],
)
def test_what_cannot_be_meant_never_reaches_the_log(
    harness: RequestHarness, asked: SetClusterSettings, code: Code, said: str
) -> None:
    (refused,) = harness.ask(asked)
    assert isinstance(refused, Refused)
    assert refused.code is code
    assert said in refused.text
    assert harness.wanted() == []
    assert harness.machine.settings == DEFAULTS


# ---- what is over a new limit -------------------------------------------------------------------


def finish(harness: RequestHarness, count: int, data: bytes = b"v") -> None:
    """So many tasks succeed."""
    harness.enqueue(*map(str, range(count)))
    harness.commit()
    harness.sent()
    for seq in range(1, count + 1):
        harness.finish(seq, data)


def fail(harness: RequestHarness, count: int) -> None:
    """So many tasks fail for good."""
    harness.enqueue(*map(str, range(count)))
    harness.commit()
    harness.sent()
    harness.queues.apply(Assign(b"w", list(range(1, count + 1))))
    for run in list(harness.machine.running()):
        failure = encode_failure(Failure("E", "no", ""))
        harness.queues.apply(Fail(run.token, failure, 0, final=True))


def test_a_limit_far_below_what_is_kept_is_lowered_by_steps(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One entry that drops a million results would hold up all others."""
    monkeypatch.setattr(cluster_settings, "_PART", 2)
    finish(harness, 7)
    made = steps(harness, change(results=2))
    assert [command.values for command in made] == [[("results", n)] for n in (5, 3, 2)]
    assert harness.machine.state.results == 2
    assert harness.machine.settings == replace(DEFAULTS, results=2)
    assert harness.under_way() == 0


def test_bytes_of_results_are_lowered_by_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_settings, "_PART", 2)
    harness = RequestHarness()
    finish(harness, 5, b"v" * 500_000)
    made = steps(harness, change(result_bytes=1 << 20))
    sizes = [1_500_000, 1 << 20]
    assert [command.values for command in made] == [[("result_bytes", size)] for size in sizes]
    assert (harness.machine.state.results, harness.machine.state.result_bytes) == (2, 1_000_000)


def test_results_without_a_byte_do_not_keep_a_change_from_its_end(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is none of ours may report them."""
    monkeypatch.setattr(cluster_settings, "_PART", 1)
    finish(harness, 3, b"")
    harness.enqueue("large", "and another", request=2)
    harness.commit()
    harness.sent()
    for seq in (4, 5):
        harness.finish(seq, b"v" * 600_000)
    assert steps(harness, change(result_bytes=1 << 20))
    assert harness.machine.state.result_bytes <= 1 << 20


def test_a_limit_of_dead_tasks_is_lowered_by_steps(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_settings, "_PART", 2)
    fail(harness, 5)
    made = steps(harness, change(dead=1, tasks=9))
    assert [command.values for command in made] == [
        [("dead", 3), ("tasks", 9)],
        [("dead", 1), ("tasks", 9)],
    ]
    assert harness.machine.state.dead == 1


def test_a_limit_that_nothing_is_over_is_lowered_at_once(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_settings, "_PART", 1)
    finish(harness, 3)
    assert steps(harness, change(results=3)) == [ConfigureCluster([("results", 3)])]


def test_changes_under_way_are_bounded(harness: RequestHarness) -> None:
    for request in range(100):
        assert harness.ask(change(request, dead=7)) == []
    (refused,) = harness.ask(change(100, dead=7))
    assert isinstance(refused, Refused) and refused.code is Code.QUEUE_FULL
    assert ClusterSettings() == DEFAULTS
