"""What all tests share: no example is timed, and which consensus protocol real processes run with.

A test that has a cluster has the fixture `consensus`. Without `--consensus` it runs with Raft, and
with Zab, too, where what it promises rests on replication: those are marked `replication`.
"""

import pytest
from hypothesis import settings

from raftwork.broker.options import CONSENSUS

# Speed is measured elsewhere: on a busy machine an example takes as long as it takes.
settings.register_profile("raftwork", deadline=None)
settings.load_profile("raftwork")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--consensus", choices=CONSENSUS, help="every cluster with this protocol")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "consensus" not in metafunc.fixturenames:
        return
    asked = metafunc.config.getoption("consensus")
    both = metafunc.definition.get_closest_marker("replication") is not None
    protocols = [asked] if asked else CONSENSUS if both else CONSENSUS[:1]
    metafunc.parametrize("consensus", protocols, indirect=True)


@pytest.fixture
def consensus(request: pytest.FixtureRequest) -> str:
    """The protocol of this test's clusters."""
    protocol: str = request.param
    return protocol
