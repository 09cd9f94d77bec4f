"""The Grafana dashboard of deploy/grafana, made of this: `python -m tools.grafana`.

A panel is a title, its queries and a unit. Grafana's own format repeats itself, so it is written by
machine; a test sees that the file is what this makes, and that every metric in it exists.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).parents[1] / "deploy" / "grafana" / "raftwork.json"
_WIDTH, _HEIGHT = 12, 7


class Panel(NamedTuple):
    """One chart: `queries` are pairs of PromQL and legend."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


ROWS: dict[str, tuple[Panel, ...]] = {
    "Tasks": (
        Panel(
            "Ended a second",
            "ops",
            (("sum by (outcome) (raftwork:tasks_finished:rate5m)", "{{outcome}}"),),
        ),
        Panel("Came in a second", "ops", (("raftwork:tasks_enqueued:rate5m", "{{queue}}"),)),
        Panel(
            "Wait, by queue", "short", (('raftwork:queue_tasks:max{state="ready"}', "{{queue}}"),)
        ),
        Panel(
            "From ready to a worker, 99th percentile",
            "s",
            (
                ("raftwork:task_wait_seconds:p99_5m", "{{queue}}"),
                ("raftwork:queue_oldest_seconds:max", "{{queue}}, the oldest"),
            ),
        ),
        Panel(
            "Run, 99th percentile",
            "s",
            (("raftwork:task_run_seconds:p99_5m", "{{task}}"),),
        ),
        Panel(
            "Attempts that fail a second",
            "ops",
            (
                (
                    "topk(10, sum by (task, reason) (raftwork:attempts_failed:rate5m))",
                    "{{task}} {{reason}}",
                ),
            ),
        ),
        Panel(
            "Fail, of those that end",
            "percentunit",
            (("raftwork:tasks_failed:ratio5m", "{{queue}}"),),
        ),
    ),
    "Workers": (
        Panel(
            "Slots",
            "short",
            (
                ("sum(raftwork:slots:max)", "there are"),
                ("sum(raftwork:slots_busy:max)", "busy"),
                ("sum(raftwork:slots_wanted:max)", "wanted"),
            ),
        ),
        Panel("Workers", "short", (("max by (state) (raftwork_workers)", "{{state}}"),)),
    ),
    "Brokers": (
        Panel("Leads", "short", (("raftwork_broker_active", "{{broker}}"),)),
        Panel(
            "Leaders seen, and seconds without one, in 5 min",
            "short",
            (
                ("increase(raftwork_leader_changes_total[5m])", "{{broker}} leaders"),
                ("increase(raftwork_leaderless_seconds_total[5m])", "{{broker}} seconds without"),
            ),
        ),
        Panel("fsync, 99th percentile", "s", (("raftwork:fsync_seconds:p99_5m", "{{broker}}"),)),
        Panel(
            "Commit and read at the leader, 99th percentile",
            "s",
            (
                ("raftwork:commit_seconds:p99_5m", "{{broker}} commit"),
                ("raftwork:reads_seconds:p99_5m", "{{broker}} read"),
            ),
        ),
        Panel(
            "Requests of clients a second",
            "ops",
            (
                ("topk(10, sum by (kind) (rate(raftwork_requests_total[5m])))", "{{kind}}"),
                ("sum(rate(raftwork_enqueues_refused_total[5m]))", "enqueues refused"),
            ),
        ),
        Panel(
            "Sessions",
            "short",
            (
                ("raftwork_clients", "{{broker}} clients"),
                (
                    "increase(raftwork_sessions_closed_total[5m]) > 0",
                    "{{broker}} {{reason}}, 5 min",
                ),
            ),
        ),
        Panel(
            "Turn of the loop, 99th percentile",
            "s",
            (("raftwork:turn_seconds:p99_5m", "{{broker}}"),),
        ),
        Panel(
            "Behind the leader, entries",
            "short",
            (
                ("raftwork_peer_lag_entries", "{{peer}}"),
                ("raftwork_apply_backlog_entries", "{{broker}} not applied"),
            ),
        ),
        Panel(
            "On disk",
            "bytes",
            (
                ("raftwork_database_bytes", "{{broker}} database"),
                ("raftwork_wal_bytes", "{{broker}} WAL"),
                ("raftwork_log_bytes", "{{broker}} log"),
            ),
        ),
    ),
}


def dashboard() -> dict[str, object]:
    """All of it, as Grafana imports it."""
    panels: list[dict[str, object]] = []
    y = 0
    for row, shown in ROWS.items():
        place = {"x": 0, "y": y, "w": 24, "h": 1}
        panels.append({"type": "row", "title": row, "collapsed": False, "gridPos": place})
        y += 1
        for at, panel in enumerate(shown):
            place = {"x": at % 2 * _WIDTH, "y": y + at // 2 * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}
            panels.append(_panel(panel, place))
        y += (len(shown) + 1) // 2 * _HEIGHT
    for number, panel_ in enumerate(panels, 1):
        panel_["id"] = number
    source = {"name": "source", "type": "datasource", "query": "prometheus", "label": "Source"}
    return {
        "title": "Raftwork",
        "uid": "raftwork",
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [source]},
        "panels": panels,
    }


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, object]:
    return {
        "type": "timeseries",
        "title": panel.title,
        "gridPos": place,
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(65 + n), "expr": query, "legendFormat": legend}
            for n, (query, legend) in enumerate(panel.queries)
        ],
    }


def text() -> str:
    """As it stands in the file."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text())
