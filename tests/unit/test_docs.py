"""The documentation names only what exists."""

import re
import textwrap
from pathlib import Path

import pytest

import raftwork
from raftwork.chaos.findings import FINDINGS
from tests.unit import reference

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


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


def test_every_checker_and_finding_that_the_guarantees_name_exists() -> None:
    page = " ".join((ROOT / "docs/guarantees.md").read_text().split())
    sources = [path.read_text() for path in (ROOT / "tests/sim").rglob("*.py")]
    there = {name for text in sources for name in re.findall(r'"([a-z -]+)"', text)}
    for clause in re.findall(r"\(Simulator: ([^)]*)\)", page):
        simulator, _, trials = clause.partition("trials:")
        checkers, findings = (re.findall(r'"([^"]+)"', each) for each in (simulator, trials))
        assert checkers
        assert [name for name in checkers if name not in there] == []
        assert [name for name in findings if name not in {each.name for each in FINDINGS}] == []


def test_every_room_that_a_newcomer_is_sent_to_exists() -> None:
    """And every part of the design is where the pages say."""
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## Adding a capability")[0]
    named = set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", table))
    named |= set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", (ROOT / "docs/design.md").read_text()))
    assert len(named) > 20
    there = [f"/{path.relative_to(ROOT)}" for path in ROOT.glob("*/**/*.py")]
    assert [name for name in named if not any(path.endswith(f"/{name}") for path in there)] == []


def test_everything_a_program_imports_is_in_the_reference() -> None:
    pages = "".join(path.read_text() for path in (ROOT / "docs/reference").glob("*.md"))
    errors = {name for name in raftwork.__all__ if hasattr(raftwork.errors, name)}
    missing = {
        name
        for name in set(raftwork.__all__) - errors - {"__version__"}
        if not re.search(rf"^::: raftwork\.(\w+\.)*{name}$", pages, re.MULTILINE)
    }
    assert not missing
    assert "::: raftwork.errors" in pages  # all of them


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_program_on_a_page_is_one(page: Path) -> None:
    """As it stands there, so that who copies it has no SyntaxError."""
    block = re.compile(r"^ *```python[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
    for text in block.findall(page.read_text()):
        compile(textwrap.dedent(text), str(page), "exec")


def test_every_event_is_in_the_reference() -> None:
    assert reference.EVENTS.read_text() == reference.events(), "run python -m tests.unit.reference"


#: What Celery 5.7 takes at `apply_async` and `@app.task`; of internals nothing.
CELERY = """
    countdown eta expires priority queue routing_key exchange task_id retry retry_policy headers
    serializer compression shadow producer connection link link_error time_limit soft_time_limit
    ignore_result name bind base max_retries default_retry_delay autoretry_for dont_autoretry_for
    retry_kwargs retry_backoff retry_backoff_max retry_jitter acks_late acks_on_failure_or_timeout
    reject_on_worker_lost track_started rate_limit throws store_errors_even_if_ignored trail
    send_events typing pydantic before_start on_success on_failure on_retry after_return
"""


def test_each_option_of_celery_is_on_the_page_for_its_users() -> None:
    page = (ROOT / "docs/from-celery.md").read_text()
    missing = [name for name in CELERY.split() if not re.search(rf"`[^`]*\b{name}\b[^`]*`", page)]
    assert missing == []
