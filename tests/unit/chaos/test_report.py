"""A trial's report: what makes it good, and what it shows to people and programs."""

from collections import Counter

from raftwork.chaos.checker import judge
from raftwork.chaos.history import Event, parse
from raftwork.chaos.report import document, rows
from raftwork.chaos.run import Report
from raftwork.chaos.timings import measure

GOOD = """
asked 1.0 c t 7
struck 1.1 kill leader a
stored 1.4 c t
started 1.5 w t 5 1
finished 1.6 w t 5
ended 1.7 c t succeeded 7 5
ended 9.0 audit t succeeded 7 5
"""


def report(text: str, *troubles: str) -> Report:
    history: list[Event] = [parse(line) for line in text.strip().splitlines()]
    faults = Counter({"kill leader": 1})
    return Report(judge(history), measure(history), faults, list(troubles), 8.0)


def test_without_findings_and_troubles_a_report_is_good() -> None:
    assert report(GOOD).good


def test_a_finding_or_a_trouble_makes_it_bad() -> None:
    assert not report(GOOD.replace("audit t succeeded 7 5", "audit t unknown")).good
    assert not report(GOOD, "not whole again").good


def test_programs_get_every_count_by_its_name() -> None:
    told = document(report(GOOD, "late"))
    assert told["good"] is False
    assert told["faults"] == {"kill leader": 1}
    assert (told["enqueued"], told["acknowledged"], told["runs"]) == (1, 1, 1)
    assert told["troubles"] == ["late"]
    assert isinstance(told["findings"], dict) and set(told["findings"].values()) == {0}
    assert isinstance(told["times"], dict) and list(told["times"]) == [
        "kill leader to next acknowledgement"
    ]


def test_people_see_where_losses_lie_and_how_long_recovery_took() -> None:
    table = dict(rows(report(GOOD.replace("audit t succeeded 7 5", "audit t unknown"))))
    assert table["lost"] == "1 (first 1, middle 0, last 0)"
    assert table["fault: kill leader"] == "1"
    assert table["kill leader to next acknowledgement, median / max (s)"] == "0.30 / 0.30"
