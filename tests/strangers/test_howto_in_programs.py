"""Contexts, headers and calls of several tasks, as the page prints them, in each pool."""

import pytest

from tests.strangers.place import Place, blocks


@pytest.mark.parametrize("pool", ["process", "async"])
def test_the_page_works_as_printed(alone: Place, pool: str) -> None:
    page = blocks("howto-in-programs.md")
    for _, title, text in page:
        if title:
            alone.write(title, text)
    (printed,) = [text for language, _, text in page if language == "text"]
    alone.start(f"raftwork worker shop:app --pool {pool} --concurrency 2", "worker")
    done = alone.sh("python order.py")
    assert (done.code, done.out) == (0, printed), done.err
