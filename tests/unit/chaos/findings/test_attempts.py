"""More attempts that failed than a policy allows, or fewer."""

import pytest

from tests.unit.chaos.findings.histories import found


def failed(how: str, retries: int, attempts: int, counted: int) -> str:
    """A task that fails always: so many attempts, of which so many are said to have failed."""
    starts = [f"started {2 + n} w t {10 + n} {n}" for n in range(1, attempts + 1)]
    lines = ["asked 1 c t 7", f"wanted 1 c t fails {how}", f"wanted 1 c t retries {retries}"]
    lines += ["stored 2 c t", *starts]
    lines.append(f"ended 90 audit t failed -1 {10 + attempts}")
    lines.append(f"counted 91 audit t {counted}")
    return "\n".join(lines)


@pytest.mark.parametrize("retries", [0, 2])
def test_its_retries_and_one_more_are_what_it_may(retries: int) -> None:
    assert found(failed("always", retries, retries + 1, retries + 1)) == {}
    # Other attempts were lost with their worker.
    assert found(failed("always", retries, retries + 3, retries + 1)) == {}


@pytest.mark.parametrize("counted", [2, 4])
def test_another_number_is_found(counted: int) -> None:
    assert found(failed("always", 2, 4, counted)) == {"retry policy broken": 1}


def test_what_is_rejected_fails_once() -> None:
    assert found(failed("reject", 2, 1, 1)) == {}
    assert found(failed("reject", 2, 2, 2)) == {"retry policy broken": 1}


def test_what_never_began_has_not_failed() -> None:
    assert found(failed("always", 2, 2, 3)) == {"retry policy broken": 1}


def test_code_that_always_fails_does_not_succeed() -> None:
    text = failed("always", 2, 3, 3).replace("failed -1 13", "succeeded 7 13")
    assert found(text) == {"wrong result": 1}
