"""What all tests share: no example is timed, which consensus protocol real processes run with, and
that no process outlives the run.

A test that has a cluster has the fixture `consensus`: it runs with each protocol, or with the one
that `--consensus` names. One on which the protocol has no bearing has `either`.
"""

import gc
import os
import subprocess
import sys
import uuid
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from raftwork.broker.options import CONSENSUS

#: Whether brokers take tasks is not to depend on what else fills the disk of the machine that tests
#: them. Tests of the reserve say their own, on disks of their own.
DISK_RESERVE_MIB = 16

# Speed is measured elsewhere: on a busy machine an example takes as long as it takes.
settings.register_profile("raftwork", deadline=None)
settings.load_profile("raftwork")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--consensus", choices=CONSENSUS, help="every cluster with this protocol")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Without the collector of cycles: some thousand tests stay, and to look through them again
    and again takes a quarter of the time, in every process of a run.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "consensus" not in metafunc.fixturenames:
        return
    asked = metafunc.config.getoption("consensus")
    metafunc.parametrize("consensus", [asked] if asked else CONSENSUS, indirect=True)


@pytest.fixture
def consensus(request: pytest.FixtureRequest) -> str:
    """The protocol of this test's clusters."""
    protocol: str = request.param
    return protocol


@pytest.fixture
def either(request: pytest.FixtureRequest) -> str:
    """The protocol of clusters of which a test looks at workers and commands alone.

    Half of these tests run with each, or all with the one that was asked for.
    """
    asked: str | None = request.config.getoption("consensus")
    return asked or CONSENSUS[zlib.crc32(request.node.name.encode()) % len(CONSENSUS)]


@pytest.fixture(scope="session", autouse=True)
def reaper() -> Iterator[None]:
    """Whatever this run starts carries a mark, and dies with it, also if the run is killed."""
    name, value = "RAFTWORK_TEST_RUN", uuid.uuid4().hex
    watching = subprocess.Popen(
        [sys.executable, "-m", "tests.reaper", f"{name}={value}"],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    os.environ[name] = value
    os.environ.setdefault("RAFTWORK_BROKER_DISK_RESERVE", str(DISK_RESERVE_MIB))
    yield
    gc.collect()  # what was left of a multiprocessing pool says so to a helper, which dies below
    del os.environ[name]
    watching.communicate()
