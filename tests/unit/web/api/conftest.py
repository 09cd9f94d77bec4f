"""A cluster in this process, and who looks at it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from raftwork.testing.virtual_app import VirtualApp, installed
from raftwork.web.access import Tokens, sha256
from tests.unit.web.api.served import client


@pytest.fixture
def world() -> Iterator[VirtualApp]:
    with installed() as virtual:
        yield virtual


@pytest.fixture
def local(world: VirtualApp) -> TestClient:
    return client()


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    file = tmp_path / "tokens"
    lines = [f"{role} {sha256(role)} the-{role}" for role in ("viewer", "operator", "admin")]
    file.write_text("# who\n\n" + "\n".join(lines) + "\n")
    return Tokens(str(file))
