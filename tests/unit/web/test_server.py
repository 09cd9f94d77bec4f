"""The answers over HTTP, and the child that gives them."""

import json

import pytest

from raftwork.web.application import respond
from raftwork.web.health import Check

CHECKS = [Check("loop"), Check("leader", "it knows of no leader")]


@pytest.mark.parametrize(
    ("only", "exclude", "code", "checks"),
    [
        (None, (), 503, {"loop": "ok", "leader": "it knows of no leader"}),
        (None, ("leader",), 200, {"loop": "ok"}),
        ("loop", (), 200, {"loop": "ok"}),
        ("leader", (), 503, {"leader": "it knows of no leader"}),
    ],
)
def test_all_is_well_or_each_check_says_why_not(
    only: str | None, exclude: tuple[str, ...], code: int, checks: dict[str, str]
) -> None:
    answer = respond(CHECKS, only=only, exclude=exclude)
    assert answer.status_code == code
    assert json.loads(bytes(answer.body)) == {"ok": code == 200, "checks": checks}


def test_a_check_that_is_none_is_not_well() -> None:
    assert respond(CHECKS, only="leaders").status_code == 404
