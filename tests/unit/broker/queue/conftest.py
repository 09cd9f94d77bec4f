import pytest

from tests.unit.broker.queue.driver import Driver


@pytest.fixture
def driver() -> Driver:
    return Driver()
