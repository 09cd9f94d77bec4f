"""Histories written by hand, and what is found in them."""

from raftwork.chaos.checker import judge
from raftwork.chaos.findings import FINDINGS
from raftwork.chaos.history import Event, parse


def history(text: str) -> list[Event]:
    """An event a line."""
    return [parse(line) for line in text.strip().splitlines() if line]


def found(text: str) -> dict[str, int]:
    """What is found in a history, without the findings that are not there."""
    verdict = judge(history(text))
    assert tuple(verdict.findings) == tuple(finding.name for finding in FINDINGS)
    return {name: len(texts) for name, texts in verdict.findings.items() if texts}
