"""One cluster a test; whatever a test does to it, nothing of it is left running.

Clusters live where users put them: in directories with odd names, and half of the tests give their
brokers relative paths.
"""

import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cluster.harness import Cluster
from tests.strangers.namespace import own_loopback
from tests.strangers.place import Place

MakeCluster = Callable[..., Cluster]

#: What a file's name may hold and an URI, a format string or a shell would take for something else.
ODD_NAME = "Zoë's 100% #1? & more"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@contextmanager
def clusters(directory_of_all: Path, consensus: str, test: str) -> Iterator[MakeCluster]:
    """What `make_cluster` is."""
    relative = zlib.crc32(test.encode()) % 2 == 0
    with ExitStack() as stack:
        made = 0

        def make(names: tuple[str, ...] = ("a", "b", "c"), **settings: str) -> Cluster:
            nonlocal made
            made += 1
            directory = directory_of_all / f"{ODD_NAME} {made}"
            directory.mkdir()
            cluster = Cluster(directory, names, consensus=consensus, relative=relative, **settings)
            stack.callback(cluster.close)
            return cluster

        yield make


@pytest.fixture
def make_cluster(
    tmp_path: Path, consensus: str, request: pytest.FixtureRequest
) -> Iterator[MakeCluster]:
    """Clusters that are not started yet; several get directories of their own."""
    with clusters(tmp_path, consensus, request.node.name) as make:
        yield make


@pytest.fixture
def make_solo(
    tmp_path: Path, either: str, request: pytest.FixtureRequest
) -> Iterator[Callable[[], Cluster]]:
    """Clusters of one broker, started: for what neither a second one nor the protocol bears on."""
    with clusters(tmp_path, either, request.node.name) as make:

        def solo() -> Cluster:
            cluster = make(("solo",))
            cluster.start()
            return cluster

        yield solo


@pytest.fixture
def one_broker(make_solo: Callable[[], Cluster]) -> Cluster:
    """For tests of what a worker does with the tasks that it is given."""
    return make_solo()


@pytest.fixture
def cluster(make_cluster: MakeCluster) -> Cluster:
    """Three brokers with a leader."""
    made = make_cluster()
    made.start()
    return made


class Home(NamedTuple):
    """Where somebody types what the docs print."""

    place: Place
    #: Whether the printed ports are free: those of a loopback of our own.
    as_printed: bool

    def adapted(self, text: str) -> str:
        """As printed; where it must be, under ports that are free here."""
        for name, port in {} if self.as_printed else PORTS.items():
            text = text.replace(f"127.0.0.1:{port}", self.place.addresses[name])
        return text


#: The ports the docs print.
PORTS = {"a": 7701, "b": 7702, "c": 7703}


@pytest.fixture
def home(tmp_path: Path, consensus: str) -> Iterator[Home]:
    """A directory with an odd name, and where it can be had a loopback with nothing on it."""
    directory = tmp_path / ODD_NAME
    directory.mkdir()
    place = Place(directory, consensus)
    with own_loopback(place.env) as prefix:
        if prefix is not None:
            place.prefix = prefix
            del place.env["RAFTWORK_BROKERS"]  # the default is what is printed
        yield Home(place, as_printed=prefix is not None)
    place.close()
