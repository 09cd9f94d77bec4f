"""The rename tool follows code, the catalogues that quote it, and the docs; never English words."""

import subprocess
from pathlib import Path

import pytest

from tools.rename import Plan, carry_out, prose, python

PLAN = Plan(
    modules={
        "raftwork.broker.hands": "raftwork.broker.workers.assignments",
        "raftwork.broker.dispatch": "raftwork.broker.dispatch.dispatcher",
    },
    names={"Hand": "Assignment", "hands": "assignments", "careful": "needs_free_slot"},
    packages={"raftwork.broker.workers": "Workers.", "raftwork.broker.dispatch": "Dispatch."},
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "from raftwork.broker.hands import Hand, careful\n",
            "from raftwork.broker.workers.assignments import Assignment, needs_free_slot\n",
        ),
        (
            "from raftwork.broker import aside, dispatch\nplan = dispatch.MAX\n"
            'patch.setattr(dispatch, "MAX", 1)\n',
            "from raftwork.broker import aside\nfrom raftwork.broker.dispatch import dispatcher\n"
            'plan = dispatcher.MAX\npatch.setattr(dispatcher, "MAX", 1)\n',
        ),
        (
            "from raftwork.broker import (\n    dispatch as d,\n)\nd.MAX\n",
            "from raftwork.broker.dispatch import dispatcher as d\nd.MAX\n",
        ),
        ('CORE = ("broker/hands.py",)\n', 'CORE = ("broker/workers/assignments.py",)\n'),
        ("import raftwork.broker.hands\n", "import raftwork.broker.workers.assignments\n"),
        (
            "for hand in worker.hands.values():  # hands full\n    é = 'hands'; hands = 1\n",
            "for hand in worker.assignments.values():  # hands full\n"
            "    é = 'hands'; assignments = 1\n",
        ),
        ('f"hands: {hands} {{hands}}"\n', 'f"hands: {assignments} {{hands}}"\n'),
        (
            '"""With careful hands."""\nHandy = "Hand"\n',
            '"""With careful hands."""\nHandy = "Hand"\n',
        ),
        (
            '_A, _B = "raftwork.broker", "raftwork"\n'
            'Edit(f"{_A}.hands:Hand.of", "careful(task)", f"{_A} hands")\n',
            '_A, _B = "raftwork.broker", "raftwork"\n'
            'Edit(f"{_A}.workers.assignments:Assignment.of", "needs_free_slot(task)",'
            ' f"{_A} assignments")\n',
        ),
    ],
)
def test_code_is_followed_and_nothing_else(before: str, after: str) -> None:
    assert python(before, PLAN) == after


def test_docs_name_files_paths_and_names_of_code() -> None:
    before = "`broker/hands.py` has `Hand`; raftwork.broker.hands is careful, with both hands.\n"
    assert prose(before, PLAN) == (
        "`broker/workers/assignments.py` has `Assignment`; raftwork.broker.workers.assignments is"
        " careful, with both hands.\n"
    )


def test_a_plan_is_carried_out_in_a_tree(tmp_path: Path) -> None:
    for name, text in {
        "src/raftwork/broker/hands.py": "class Hand: ...\n",
        "src/raftwork/broker/dispatch.py": "from raftwork.broker.hands import Hand\n",
        "docs/design.md": "- `hands.py` and `broker/hands.py`\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    carry_out(PLAN, tmp_path)
    new = tmp_path / "src/raftwork/broker"
    assert (new / "workers/__init__.py").read_text() == '"""Workers."""\n'
    assert (new / "workers/assignments.py").read_text() == "class Assignment: ...\n"
    assert (new / "dispatch/dispatcher.py").read_text() == (
        "from raftwork.broker.workers.assignments import Assignment\n"
    )
    assert not (new / "hands.py").exists() and not (new / "dispatch.py").exists()
    assert "broker/workers/assignments.py" in (tmp_path / "docs/design.md").read_text()


@pytest.mark.parametrize("text", ['[moves]\na = "b"\n', "[names]\na = 1\n"])
def test_a_plan_with_anything_else_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(ValueError, match="plan"):
        Plan.read(tmp_path / "plan.toml")


def test_a_name_of_one_part_stays_as_it_is_elsewhere() -> None:
    plan = Plan({}, {"a": "b"}, {}, {"consensus/raft": {"stand": "campaign"}})
    assert plan.of("/src/raftwork/consensus/raft/node.py").names == {"a": "b", "stand": "campaign"}
    assert plan.of("/src/raftwork/consensus/zab/node.py").names == {"a": "b"}


def test_packages_and_the_tests_that_mirror_them_move_as_well(tmp_path: Path) -> None:
    for name, text in {
        "src/raftwork/broker/queue/__init__.py": "from raftwork.broker.queue.dead import X\n",
        "src/raftwork/broker/queue/dead.py": "X = 1\n",
        "tests/unit/broker/queue/test_dead.py": "from raftwork.broker.queue import X, dead\n",
        "docs/guarantees.md": "`tests/unit/broker/queue/test_dead.py`\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    modules = {
        "raftwork.broker.queue": "raftwork.broker.machine",
        "raftwork.broker.queue.dead": "raftwork.broker.machine.dead_letters",
        "tests.unit.broker.queue.test_dead": "tests.unit.broker.machine.test_dead_letters",
    }
    carry_out(Plan(modules=modules, names={}, packages={}), tmp_path)
    package = tmp_path / "src/raftwork/broker/machine"
    moved = "from raftwork.broker.machine.dead_letters import X\n"
    assert (package / "__init__.py").read_text() == moved
    assert (package / "dead_letters.py").read_text() == "X = 1\n"
    test = tmp_path / "tests/unit/broker/machine/test_dead_letters.py"
    assert test.read_text() == (
        "from raftwork.broker.machine import X\nfrom raftwork.broker.machine import dead_letters\n"
    )
    assert (tmp_path / "docs/guarantees.md").read_text() == (
        "`tests/unit/broker/machine/test_dead_letters.py`\n"
    )
