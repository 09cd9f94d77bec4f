"""The documentation names only what exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_test_the_guarantees_name_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/guarantees.md").read_text()))
    defined: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        defined |= set(re.findall(r"def (test_\w+)\(", path.read_text()))
    assert named
    assert named <= defined, f"no such tests: {sorted(named - defined)}"


def test_every_guarantee_has_a_test_by_its_side() -> None:
    text = (ROOT / "docs/guarantees.md").read_text()
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        assert "`test_" in section, section.splitlines()[0]
