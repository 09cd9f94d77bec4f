"""The benchmarks' own cluster: as a new user starts it, with nothing but the installed package."""

from pathlib import Path

import pytest

from bench.harness import client, cluster
from bench.tasks import noop
from tests.cluster.harness import PATIENCE


def test_a_benchmarks_workers_find_their_tasks_wherever_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with cluster(brokers=1) as made, client(made) as app:
        assert app.enqueue(noop.name).result(timeout=PATIENCE) is None
