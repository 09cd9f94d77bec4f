"""The pages on retries and on progress work as printed."""

import pytest

from tests.strangers.place import Place, blocks


@pytest.mark.parametrize(
    ("page", "target", "program"),
    [
        ("howto-retries.md", "shop:app", "order.py"),
        ("howto-progress.md", "films:app", "watch.py"),
    ],
)
@pytest.mark.parametrize("pool", ["process", "thread"])
def test_a_page_works_as_printed(
    alone: Place, page: str, target: str, program: str, pool: str
) -> None:
    for _, title, text in blocks(page):
        if title:
            alone.write(title, text)
    (printed,) = [text for language, _, text in blocks(page) if language == "text"]
    alone.start(f"raftwork worker {target} --pool {pool} --concurrency 2", "worker")
    done = alone.sh(f"python {program}")
    assert done.code == 0, done.err
    assert done.out == printed
