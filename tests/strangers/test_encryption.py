"""Somebody keeps contents from brokers, with the page alone."""

import re
from pathlib import Path

from tests.strangers.place import Place

PAGE = Path(__file__).parents[2] / "docs" / "howto-encryption.md"
_FILE = re.compile(r"```python title=\"([\w.]+)\"\n(.*?)```", re.DOTALL)
_LINE = re.compile(r"```sh title=\"(\w+)\"\n(.*?)\n```", re.DOTALL)
_PRINTED = re.compile(r"prints:\n\n```\n(.*?)```", re.DOTALL)


def test_the_page_works_as_printed_and_no_broker_has_seen_it(alone: Place) -> None:
    text = PAGE.read_text()
    lines = dict(_LINE.findall(text))
    for name, body in _FILE.findall(text):
        alone.write(name, body)
    assert alone.sh(lines["make"]).code == 0
    alone.start(f"env {lines['worker']}", "w1")
    (printed,) = _PRINTED.findall(text)
    done = alone.sh("RAFTWORK_SECRETS=contents.secret python pay.py")
    assert done.out == printed, done.err
    asked = alone.sh(
        "RAFTWORK_SECRETS=contents.secret raftwork enqueue vault.charge 4111-1111 1 --wait --id one"
    )
    assert asked.out == '"charged 4111-1111"\n', asked.err
    blind = alone.sh("raftwork result one")
    assert blind.code == 1
    assert "CannotDecrypt" in blind.err
    (dead,) = re.findall(r"[0-9a-f-]{36}", alone.sh("raftwork dead list").out)[:1]
    again = alone.sh(f"RAFTWORK_SECRETS=contents.secret raftwork dead retry {dead}")
    assert again.code == 0, again.err
    shown = alone.sh(f"RAFTWORK_SECRETS=contents.secret raftwork dead show {dead}")
    assert "cannot be charged -7" in shown.out, shown
    kept = [path for path in (alone.directory / "data").rglob("*") if path.is_file()]
    assert kept
    for word in (b"4111-1111", b"cannot be charged"):
        assert not any(word in path.read_bytes() for path in kept)
