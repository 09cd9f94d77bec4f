"""One cluster a test; whatever a test does to it, nothing of it is left running.

Clusters live where users put them: in directories with odd names, and half of the tests give their
brokers relative paths.
"""

import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.harness import Cluster

MakeCluster = Callable[..., Cluster]

#: What a file's name may hold and an URI, a format string or a shell would take for something else.
ODD_NAME = "Zoë's 100% #1? & more"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture
def make_cluster(
    tmp_path: Path, consensus: str, request: pytest.FixtureRequest
) -> Iterator[MakeCluster]:
    """Clusters that are not started yet; several get directories of their own."""
    relative = zlib.crc32(request.node.name.encode()) % 2 == 0
    with ExitStack() as stack:
        made = 0

        def make(names: tuple[str, ...] = ("a", "b", "c"), **settings: str) -> Cluster:
            nonlocal made
            made += 1
            directory = tmp_path / f"{ODD_NAME} {made}"
            directory.mkdir()
            cluster = Cluster(directory, names, consensus=consensus, relative=relative, **settings)
            stack.callback(cluster.close)
            return cluster

        yield make


@pytest.fixture
def cluster(make_cluster: MakeCluster) -> Cluster:
    """Three brokers with a leader."""
    made = make_cluster()
    made.start()
    return made
