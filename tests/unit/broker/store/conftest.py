from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.broker.store.kit import Disk, simulated_disk


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def disk() -> Iterator[Disk]:
    with simulated_disk() as made:
        yield made
