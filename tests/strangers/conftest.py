"""What a stranger does on the first day, one test a fault that strangers have met.

Here is no promise of the design but the way people use it: their own directory, relative paths,
lines as the README prints them, closed streams, odd locales, forks, signals, threads. A new fault
of that kind gets its test here.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import ODD_NAME
from tests.strangers.place import Place


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture
def place(tmp_path: Path, consensus: str) -> Iterator[Place]:
    """A directory with an odd name, three brokers' addresses, nothing started."""
    directory = tmp_path / ODD_NAME
    directory.mkdir()
    made = Place(directory, consensus)
    yield made
    made.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Place]:
    """As `place`, with one broker, started: for faults that are none of the brokers'."""
    directory = tmp_path / ODD_NAME
    directory.mkdir()
    made = Place(directory, "raft", names="a")
    made.brokers()
    yield made
    made.close()
