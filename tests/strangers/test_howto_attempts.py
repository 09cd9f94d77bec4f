"""The pages on retries and on progress work as printed."""

import re
from pathlib import Path

import pytest

from tests.strangers.place import Place

DOCS = Path(__file__).parents[2] / "docs"
#: A block of code: its language, the file it is to be put into if it says one, and its text.
_BLOCK = re.compile(r"```(\w+)(?: title=\"([\w.]+)\")?\n(.*?)```", re.DOTALL)


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
    blocks: list[tuple[str, str, str]] = _BLOCK.findall((DOCS / page).read_text())
    for _, title, text in blocks:
        if title:
            alone.write(title, text)
    (printed,) = [text for language, _, text in blocks if language == "text"]
    alone.start(f"raftwork worker {target} --pool {pool} --concurrency 2", "worker")
    done = alone.sh(f"python {program}")
    assert done.code == 0, done.err
    assert done.out == printed
