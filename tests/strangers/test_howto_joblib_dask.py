"""joblib and Dask, as their page prints it."""

import pytest

from tests.strangers.place import Place, blocks

PAGE = blocks("howto-joblib-dask.md")


@pytest.fixture
def served(alone: Place) -> Place:
    for _, title, text in PAGE:
        if title:
            alone.write(title, text)
    (commands,) = [text.splitlines() for language, _, text in PAGE if language == "sh"]
    alone.start(f"{commands[1]} --concurrency 2", "worker")
    return alone


def test_joblib_works_as_printed(served: Place) -> None:
    done = served.sh("python parallel.py")
    assert (done.code, done.out) == (0, "[0.0, 1.0, 2.0, 3.0, 4.0]\n"), done.err


def test_dask_works_as_printed(served: Place) -> None:
    done = served.sh("python graph.py")
    assert (done.code, done.out) == (0, "15\n"), done.err
