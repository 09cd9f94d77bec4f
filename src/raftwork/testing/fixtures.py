"""The pytest plugin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from raftwork.testing.real_cluster import RealCluster
    from raftwork.testing.virtual_app import VirtualApp


@pytest.fixture
def raftwork_app() -> Iterator[VirtualApp]:
    """An App over a cluster inside the test's process, under virtual time.

    Every App of the process enqueues there. `run_until_idle()` runs tasks, `advance(60)` lets time
    pass, `enqueued("name")` are the tasks that came.
    """
    from raftwork.testing.virtual_app import installed

    with installed() as app:
        yield app


@pytest.fixture(scope="session")
def raftwork_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """A real broker in a process of its own, on a free port; one for all tests of a run.

    `connect(app)` has an App use it, `worker("tasks:app")` runs a worker of it.
    """
    from raftwork.testing.real_cluster import RealCluster

    with RealCluster(tmp_path_factory.mktemp("raftwork")) as cluster:
        yield cluster
