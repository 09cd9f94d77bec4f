from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.unit.broker.store.kit import Disk, simulated_disk

_MEMORY = Path("/dev/shm")


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """Real files, but in memory where there is such a place: hundreds of stores are opened here."""
    if not _MEMORY.is_dir():
        yield tmp_path
        return
    with TemporaryDirectory(dir=_MEMORY, prefix="raftwork-test-") as made:
        yield Path(made)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def disk() -> Iterator[Disk]:
    with simulated_disk() as made:
        yield made
