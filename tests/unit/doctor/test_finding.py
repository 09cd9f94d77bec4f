"""No finding without its test, nor without its row in the documentation."""

import ast
from pathlib import Path

from raftwork import doctor
from raftwork.doctor.finding import Severity
from tests.unit.doctor import test_cluster, test_machine

SAYS = {"warning": Severity.WARNING, "error": Severity.ERROR}
#: Those with a test of their own.
APART = {("clocks", Severity.WARNING), ("curve", Severity.ERROR)}


def said() -> set[tuple[str, Severity]]:
    """Everything that may be found, by the code."""
    calls = [
        node
        for path in Path(doctor.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return {
        (str(call.args[0].value), SAYS[call.func.id])
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id in SAYS
        if isinstance(call.args[0], ast.Constant)
    }


def test_each_finding_that_asks_for_something_has_its_test() -> None:
    tested = {(id_, severity) for _, id_, severity, _ in test_cluster.CASES}
    tested |= {(id_, severity) for _, id_, severity, _ in test_machine.CASES}
    assert said() == {each for each in tested | APART if each[1] is not Severity.OK}


def test_each_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    assert {id_ for id_, _ in said() if f"`{id_}`" not in page} == set()
