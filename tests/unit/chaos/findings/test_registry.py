"""The findings as a whole."""

from pathlib import Path

from raftwork.chaos.findings import FINDINGS

PAGE = Path(__file__).parents[4] / "docs" / "reliability.md"


def test_each_has_a_name_of_its_own() -> None:
    names = [finding.name for finding in FINDINGS]
    assert len(set(names)) == len(names)


def test_the_page_on_trials_says_what_each_means() -> None:
    page = PAGE.read_text()
    assert [f.name for f in FINDINGS if f"| {f.name} | {f.meaning} | G" not in page] == []
