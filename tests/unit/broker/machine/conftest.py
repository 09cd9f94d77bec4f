import pytest

from tests.unit.broker.machine.driver import Driver


@pytest.fixture
def driver() -> Driver:
    return Driver()
