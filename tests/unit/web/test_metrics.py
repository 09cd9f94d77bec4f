"""`/metrics`: what is on the page, that others can read it, and that what is shipped names it."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from raftwork.messages import QueueStatus, WorkerStatus
from raftwork.web import metric_tables, worker_metrics
from raftwork.web.metric_tables import described
from raftwork.web.metrics import Metrics
from tests.unit.web.seen import QUEUES, status, watch
from tools import grafana

ROOT = Path(__file__).parents[3]
SHIPPED = [
    ROOT / "deploy/prometheus/rules.yml",
    ROOT / "deploy/prometheus/alerts.yml",
    ROOT / "deploy/grafana/raftwork.json",
]


def samples(made: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = made.page().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return f"raftwork_{name}", frozenset(labels.items())


def test_the_page_says_what_a_broker_says_and_the_reference_parser_reads_it() -> None:
    found = samples(Metrics(watch("a")))
    assert found[key("broker_role", broker="a", role="leader")] == 1
    assert found[key("broker_role", broker="a", role="follower")] == 0
    assert found[key("broker_epoch", broker="a")] == 3
    assert found[key("elections_total", broker="a", outcome="timeout")] == 3
    assert found[key("leaderless_seconds_total", broker="a")] == 1.5
    assert found[key("peer_lag_entries", broker="a", peer="b")] == 7
    assert found[key("peer_connected", broker="a", peer="c")] == 1
    assert found[key("apply_backlog_entries", broker="a")] == 2
    assert found[key("build_info", broker="a", version="0.3.0", consensus="raft")] == 1
    assert found[key("queue_tasks", queue="default", state="ready")] == 3
    assert found[key("queue_tasks", queue="default", state="delayed")] == 1
    assert found[key("slots_wanted", queue="default")] == 5
    assert found[key("slots_busy", queue="default")] == 2
    assert found[key("queue_tasks", queue=QUEUES[1].name, state="ready")] == 1
    assert not [name for name, labels in found if ("broker", "b") in labels]


def test_buckets_add_up_and_a_histogram_has_its_sum_and_count() -> None:
    found = samples(Metrics(watch("a")))
    assert found[key("fsync_seconds_bucket", broker="a", le="0.002")] == 0
    assert found[key("fsync_seconds_bucket", broker="a", le="0.004")] == 90
    assert found[key("fsync_seconds_bucket", broker="a", le="0.008")] == 99
    assert found[key("fsync_seconds_bucket", broker="a", le="+Inf")] == 100
    assert found[key("fsync_seconds_count", broker="a")] == 100
    assert found[key("fsync_seconds_sum", broker="a")] == 0.5


def test_what_a_broker_counts_as_a_leader_and_of_its_connections_is_on_the_page() -> None:
    found = samples(Metrics(watch("a")))
    assert found[key("commit_seconds_bucket", broker="a", le="0.00025")] == 3
    assert found[key("commit_seconds_count", broker="a")] == 4
    assert found[key("reads_seconds_sum", broker="a")] == 0.0003
    assert found[key("proposals_pending", broker="a")] == 4
    assert found[key("watches", broker="a")] == 5
    assert found[key("requests_total", broker="a", kind="enqueue")] == 70
    assert found[key("enqueues_refused_total", broker="a", queue="default", reason="full")] == 8
    assert found[key("stale_reports_total", broker="a")] == 9
    assert found[key("leases_expired_total", broker="a")] == 2
    assert found[key("clients", broker="a")] == 11
    assert found[key("outbox_bytes", broker="a")] == 12
    assert found[key("sessions_closed_total", broker="a", reason="left")] == 13
    assert found[key("peer_dropped_total", broker="a", peer="b")] == 3
    assert found[key("entries_committed_total", broker="a")] == 100
    assert found[key("damaged", broker="a")] == 1
    assert found[key("checkpoint_seconds_count", broker="a")] == 1
    assert found[key("snapshot_seconds_bucket", broker="a", op="make", le="0.1")] == 1
    assert found[key("snapshot_seconds_count", broker="a", op="send")] == 0


def test_tasks_are_counted_by_their_names() -> None:
    found = samples(Metrics(watch("a")))
    mail = {"queue": "default", "task": "mail.send"}
    assert found[key("tasks_enqueued_total", **mail)] == 20
    assert found[key("tasks_finished_total", outcome="lost", **mail)] == 1
    assert found[key("attempts_failed_total", reason="timeout", **mail)] == 1
    assert found[key("tasks_retried_total", **mail)] == 3
    assert found[key("task_run_seconds_bucket", le="0.01", **mail)] == 9
    assert found[key("task_run_seconds_bucket", le="+Inf", **mail)] == 10
    assert found[key("task_run_seconds_sum", **mail)] == 0.025
    other = {"queue": "default", "task": "other"}
    assert found[key("task_run_seconds_bucket", le="10000", **other)] == 0
    assert found[key("task_wait_seconds_bucket", queue="default", le="0.1")] == 8
    assert found[key("queue_oldest_seconds", queue="default")] == 61.5
    assert found[key("dead_tasks", queue="default")] == 1
    assert found[key("dead_tasks", queue="other")] == 1, "of a queue that has no series"
    assert found[key("entries_applied_total", broker="a")] == 98


def test_a_dashboard_has_no_counters_that_begin_anew_with_another_leader() -> None:
    found = samples(Metrics(watch()))
    assert not [
        name for name, _ in found if name.startswith(("raftwork_task", "raftwork_attempts"))
    ]
    assert found[key("result_bytes")] == 3_400


def test_a_dashboard_tells_of_every_broker_and_of_those_that_are_silent() -> None:
    found = samples(Metrics(watch(without="c")))
    assert [found[key("broker_up", broker=name)] for name in "abc"] == [1, 1, 0]
    assert found[key("broker_active", broker="b")] == 0


def test_the_process_that_is_measured_is_the_brokers() -> None:
    """Its pid is 1 here; there is one of that number, which is not this process."""
    text = Metrics(watch("a")).page().decode()
    assert "raftwork_broker_up" in text
    assert "process_start_time_seconds" in text


def test_a_broker_of_an_older_release_counts_nothing_and_hides_nothing() -> None:
    found = samples(Metrics(watch("a", a=status("a")._replace(facts=None))))
    assert found[key("broker_active", broker="a")] == 1
    assert key("log_bytes", broker="a") not in found


def test_a_thousand_queues_are_two_hundred_and_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_tables, "QUEUES_MAX", 3)
    many = [QueueStatus(f"q{n}", 1, 0, 0, 0, 0) for n in range(10)]
    found = samples(Metrics(watch("a", a=status("a")._replace(queues=many))))
    waiting = {
        dict(labels)["queue"]: value
        for (name, labels), value in found.items()
        if name == "raftwork_queue_tasks" and ("state", "ready") in labels
    }
    assert waiting == {"q0": 1, "q1": 1, "q2": 1, "other": 7}


def test_the_slots_of_the_others_are_those_of_who_serves_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else an alert would say of the others that no worker serves them."""
    monkeypatch.setattr(metric_tables, "QUEUES_MAX", 1)
    many = [QueueStatus(name, 1, 0, 0, 0, 0) for name in ("a", "b", "c")]
    workers = [
        WorkerStatus(*("w1", "h", 1, 2, 0, 1.0, 0.1, 0.1, ["a", "b", "c"], "active", "1")),
        WorkerStatus(*("w2", "h", 2, 3, 0, 1.0, 0.1, 0.1, ["a"], "active", "1")),
    ]
    found = samples(Metrics(watch("a", a=status("a")._replace(queues=many, workers=workers))))
    slots = {dict(k[1])["queue"]: value for k, value in found.items() if k[0] == "raftwork_slots"}
    assert slots == {"a": 5, "other": 2}


def test_a_queue_that_is_called_other_is_in_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """One series twice: Prometheus would take one of them, and say nothing."""
    monkeypatch.setattr(metric_tables, "QUEUES_MAX", 2)
    many = [QueueStatus(name, 1, 0, 0, 0, 0) for name in ("other", "p", "q", "r")]
    page = Metrics(watch("a", a=status("a")._replace(queues=many))).page().decode()
    said = [line for line in page.splitlines() if line.startswith("raftwork_queue_bytes{")]
    assert [line.partition('"')[2].partition('"')[0] for line in said] == ["p", "q", "other"]


#: What a broker and a worker have to count at the least; what it is is in docs/metrics.md.
LISTED = """
 build_info broker_role broker_active broker_has_leader broker_epoch leader_changes_total
elections_total leaderless_seconds_total commit_seconds proposals_pending reads_seconds
fsync_seconds turn_seconds loop_stalls_total log_entries log_bytes apply_backlog_entries
entries_committed_total entries_applied_total peer_lag_entries peer_connected peer_dropped_total
snapshot_seconds database_bytes wal_bytes disk_free_bytes damaged checkpoint_seconds queue_tasks
slots_wanted queue_bytes queue_oldest_seconds queue_limit_tasks queue_paused tasks_enqueued_total
tasks_finished_total attempts_failed_total tasks_retried_total task_wait_seconds task_run_seconds
dead_tasks results result_bytes tombstones workers slots slots_busy leases_expired_total
stale_reports_total clients watches outbox_bytes enqueues_refused_total requests_total
sessions_closed_total worker_slots worker_busy worker_held worker_connected worker_outcome_bytes
worker_run_seconds worker_processes_lost_total worker_recycled_total
"""


def test_every_metric_that_is_promised_exists() -> None:
    there = {each.name for each in (*described(), *worker_metrics.described())}
    assert {f"raftwork_{name}" for name in LISTED.split()} <= there


def names() -> set[str]:
    """As queries name them."""
    found = set()
    for each in described():
        found.add(each.name)
        if each.kind == "histogram":
            found |= {f"{each.name}_{part}" for part in ("bucket", "sum", "count")}
    return found


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_every_name_in_what_is_shipped_exists(file: Path) -> None:
    text = file.read_text()
    used = set(re.findall(r"\braftwork_[a-z0-9_]+", text))
    assert used
    assert used <= names(), used - names()
    recorded = set(re.findall(r"record: (\S+)", SHIPPED[0].read_text()))
    assert set(re.findall(r"\braftwork:[a-z0-9_:]+", text)) <= recorded


def test_counters_are_named_as_such_and_the_page_has_all_of_them() -> None:
    for each in described():
        assert each.name.endswith("_total") == (each.kind == "counter"), each.name
        assert each.help.endswith(".")
    page = Metrics(watch()).page().decode()
    absent = [each.name for each in described() if f"# TYPE {each.name} " not in page]
    assert absent == ["raftwork_disk_free_bytes"]  # of a broker of this machine alone


def test_the_docs_say_what_each_metric_and_each_alert_is() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    assert not [each.name for each in described() if f"`{each.name}`" not in text]
    alerts = re.findall(r"alert: (\w+)", SHIPPED[1].read_text())
    assert len(alerts) > 5
    assert not [alert for alert in alerts if f"`{alert}`" not in text]


def test_grafanas_file_is_what_the_script_makes() -> None:
    assert grafana.FILE.read_text() == grafana.text()
    assert len({p["id"] for p in json.loads(grafana.text())["panels"]}) > 10
