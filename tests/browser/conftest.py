"""One cluster, one dashboard and one browser for all of these tests, in one process."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.place import Place, busy_cluster

if TYPE_CHECKING:
    from tests.browser.browser import Browser


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def window() -> "Iterator[Browser]":
    pytest.importorskip("selenium")
    from tests.browser.browser import Browser

    made = Browser()
    yield made
    made.close()


@pytest.fixture(scope="session")
def place(window: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with busy_cluster(tmp_path_factory.mktemp("browser")) as made:
        yield made


@pytest.fixture
def browser(window: "Browser") -> "Iterator[Browser]":
    """The window, wide and light, and without a word of complaint at the end."""
    from tests.browser.browser import WIDE

    window.size(WIDE)
    window.theme("light")
    window.complaints()
    window.asked()
    yield window
    assert window.complaints() == []
