"""Each finding of a plain task, seen on a history written by hand, and not on its honest twin."""

import pytest

from raftwork.chaos.checker import Losses, Verdict, judge
from raftwork.chaos.findings import FINDINGS
from tests.unit.chaos.findings.histories import found, history

#: One task of client c, enqueued, run and told, then audited.
HONEST = """
asked 1.0 c t 7
stored 1.1 c t
started 1.2 w t 5 1
finished 1.3 w t 5
ended 1.4 c t succeeded 7 5
looked 1.6 c t 1.5 succeeded
ended 9.0 audit t succeeded 7 5
"""


def test_an_honest_history_is_good() -> None:
    verdict = judge(history(HONEST))
    assert verdict.good
    assert (verdict.enqueued, verdict.acknowledged, verdict.succeeded) == (1, 1, 1)
    assert (verdict.runs, verdict.run_more_than_once, verdict.status_reads) == (1, 0, 1)


@pytest.mark.parametrize("state", ["none", "unknown", "lost"])
def test_acknowledged_and_without_an_outcome_in_the_audit_is_lost(state: str) -> None:
    assert found(f"asked 1 c t 7\nstored 2 c t\nended 9 audit t {state}") == {"lost": 1}


def test_acknowledged_and_never_audited_is_lost() -> None:
    assert found("asked 1 c t 7\nstored 2 c t") == {"lost": 1}


def test_an_outcome_told_once_does_not_excuse_its_loss() -> None:
    assert "lost" in found(HONEST.replace("audit t succeeded 7 5", "audit t unknown"))


def test_not_acknowledged_and_gone_is_no_loss() -> None:
    assert found("asked 1 c t 7\nended 9 audit t unknown") == {}


def test_not_acknowledged_but_stored_is_recovered() -> None:
    verdict = judge(history(HONEST.replace("stored 1.1 c t\n", "")))
    assert verdict.good
    assert (verdict.acknowledged, verdict.recovered) == (0, 1)


def test_a_given_up_task_is_lost_unless_it_was_at_most_once() -> None:
    text = "asked 1 c t 7 {once}\nstored 2 c t\nstarted 3 w t 5 1\nended 9 audit t lost"
    assert found(text.format(once=0)) == {"lost": 1}
    assert found(text.format(once=1)) == {}
    assert judge(history(text.format(once=1))).given_up == 1


def test_what_nobody_asked_for_is_unexpected() -> None:
    assert found("started 1 w t 5 1") == {"unexpected": 1}
    assert found("ended 1 audit t lost") == {"unexpected": 1}


def test_what_was_refused_for_good_must_not_run() -> None:
    assert found("asked 1 c t 7\nrefused 2 c t\nended 9 audit t unknown") == {}
    refused = "asked 1 c t 7\nrefused 2 c t\nstarted 3 w t 5 1"
    assert found(refused) == {"unexpected": 1}


def test_an_outcome_that_changes_is_found() -> None:
    text = HONEST + "started 0.9 v t 4 0\nfinished 1.0 v t 4\nended 8.0 audit t succeeded 7 4\n"
    assert found(text) == {"changed outcome": 1}
    assert "changed outcome" in found(HONEST + "ended 8.0 audit t lost\n")


def test_two_committed_runs_at_once_are_two_owners() -> None:
    both = """
asked 1 c t 7
stored 2 c t
started 3.0 w t 5 1
started 3.5 v t 6 2
finished 4.0 w t 5
finished 4.5 v t 6
ended 5 c t succeeded 7 5
ended 9 audit t succeeded 7 6
"""
    assert found(both) == {"changed outcome": 1, "two owners": 1}


def test_two_runs_at_once_of_which_one_was_refused_are_no_two_owners() -> None:
    late = HONEST + "started 1.25 v t 4 0\nfinished 1.35 v t 4\n"
    assert found(late) == {}
    assert judge(history(late)).run_more_than_once == 1


def test_unknown_after_the_acknowledgement_is_a_stale_read() -> None:
    assert found(HONEST + "looked 1.3 c t 1.15 unknown\n") == {"stale read": 1}


def test_unknown_to_a_question_before_the_acknowledgement_is_honest() -> None:
    assert found(HONEST + "looked 1.3 c t 1.05 unknown\n") == {}


@pytest.mark.parametrize("state", ["queued", "running", "unknown"])
def test_not_finished_after_an_outcome_was_told_is_a_stale_read(state: str) -> None:
    assert found(HONEST + f"looked 1.6 d t 1.5 {state}\n") == {"stale read": 1}


@pytest.mark.parametrize("state", ["queued", "running"])
def test_not_finished_to_a_question_before_the_outcome_is_honest(state: str) -> None:
    assert found(HONEST + f"looked 1.6 d t 1.35 {state}\n") == {}


def test_another_tasks_value_is_a_wrong_result() -> None:
    assert found(HONEST.replace("succeeded 7 5", "succeeded 8 5")) == {"wrong result": 1}


def test_a_result_under_a_token_that_never_ran_is_wrong() -> None:
    assert found(HONEST.replace("succeeded 7 5", "succeeded 7 6")) == {"wrong result": 1}


def test_a_failure_its_code_never_raises_is_a_wrong_result() -> None:
    text = HONEST.replace("succeeded 7 5", "failed")
    assert found(text) == {"wrong result": 1}


def test_a_later_attempt_needs_a_higher_token() -> None:
    again = HONEST.replace("succeeded 7 5", "succeeded 7 6")
    assert found(again + "started 1.25 v t 6 2\n") == {}
    assert found(HONEST + "started 2.0 v t 4 2\n") == {"token not growing": 1}


def test_a_token_is_never_handed_out_twice() -> None:
    assert found(HONEST + "started 2.0 v t 5 1\n") == {"token not growing": 1}
    other = HONEST.replace(" t ", " u ").replace("w u 5 1", "w u 6 1").replace("7 5", "7 6")
    assert found(HONEST + other) == {}
    other = HONEST.replace(" t ", " u ")
    assert found(HONEST + other) == {"token not growing": 1}


def test_at_most_once_is_never_started_twice() -> None:
    once = HONEST.replace("asked 1.0 c t 7", "asked 1.0 c t 7 1")
    text = once.replace("succeeded 7 5", "succeeded 7 6") + "started 1.25 v t 6 2\n"
    assert found(text) == {"run twice": 1}
    assert judge(history(text)).findings["run twice"] == [
        "t: at most once, yet started 2 times: at 1.200 by w under token 5, finished at 1.300; "
        "at 1.250 by v under token 6, not finished"
    ]


def losses(lost: str) -> Losses:
    """Of one client whose tasks were kept (k) or lost (x), in order."""
    lines = []
    for number, fate in enumerate(lost):
        state = "unknown" if fate == "x" else f"succeeded {number} {number}"
        lines.append(f"asked 1 c t{number} {number}")
        lines.append(f"stored 2 c t{number}")
        lines.append(f"ended 9 audit t{number} {state}")
    return judge(history("\n".join(lines))).losses


@pytest.mark.parametrize(
    ("lost", "where"),
    [
        ("kkkk", Losses()),
        ("xxkk", Losses(first=2)),
        ("kkxx", Losses(last=2)),
        ("kxxk", Losses(middle=2)),
        ("xkxkxxkx", Losses(first=1, middle=3, last=1)),
        ("xxx", Losses(first=3)),
    ],
)
def test_losses_are_located_in_the_clients_sequence(lost: str, where: Losses) -> None:
    assert losses(lost) == where


def test_losses_of_several_clients_are_located_in_each() -> None:
    text = """
asked 1 c c1 1
stored 2 c c1
ended 9 audit c1 succeeded 1 1
asked 1 c c2 2
stored 2 c c2
ended 9 audit c2 unknown
asked 1 d d1 1
stored 2 d d1
ended 9 audit d1 unknown
asked 1 d d2 2
stored 2 d d2
ended 9 audit d2 succeeded 2 2
"""
    assert judge(history(text)).losses == Losses(first=1, last=1)


def test_an_empty_history_has_no_findings() -> None:
    assert judge([]) == Verdict(findings={each.name: [] for each in FINDINGS})
