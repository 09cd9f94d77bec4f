"""The page on waiting for tasks works as printed."""

import re
from pathlib import Path

from tests.strangers.place import Place

PAGE = Path(__file__).parents[2] / "docs" / "howto-wait-for-tasks.md"
#: A block of code: its language, the file it is to be put into if it says one, and its text.
_BLOCK = re.compile(r"```(\w+)(?: title=\"([\w.]+)\")?\n(.*?)```", re.DOTALL)


def test_the_page_works_as_printed(alone: Place) -> None:
    blocks: list[tuple[str, str, str]] = _BLOCK.findall(PAGE.read_text())
    for _, title, text in blocks:
        if title:
            alone.write(title, text)
    (printed,) = [text for language, _, text in blocks if language == "text"]
    alone.worker("--pool async --concurrency 2", target="shop:app")
    done = alone.sh("python wait.py")
    assert done.code == 0, done.err
    assert done.out == printed
