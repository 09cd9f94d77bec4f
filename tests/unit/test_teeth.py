"""Every test over real processes has a break it must fail under, and every break still breaks.

That the tests do fail is for `make teeth`.
"""

from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.sim.mutants.surgery import Edit, OutOfDate
from tests.teeth.breaking import broken, module_of
from tests.teeth.catalogue import BREAKS, WITHOUT, cluster_tests
from tests.teeth.shape import Break


def test_every_cluster_test_has_a_break_or_a_reason_to_have_none() -> None:
    """If this asks for yours: CONTRIBUTING.md, "Teeth"."""
    tests = set(cluster_tests())
    bitten = {test for each in BREAKS for test in each.tests}
    assert tests - bitten - WITHOUT.keys() == set(), "without a break in tests/teeth/catalogue.py"
    assert (bitten | WITHOUT.keys()) - tests == set(), "in the catalogue, but no test"
    assert bitten & WITHOUT.keys() == set()
    assert max(Counter(each.name for each in BREAKS).values()) == 1


@pytest.mark.parametrize("each", BREAKS, ids=lambda each: each.name)
def test_every_break_still_changes_the_code(each: Break) -> None:
    sources: dict[str, str] = {}
    for edit in each.edits:
        module = module_of(edit)
        if module not in sources:
            spec = find_spec(module)
            assert spec is not None and spec.origin is not None
            sources[module] = Path(spec.origin).read_text()
        sources[module] = broken(sources[module], edit)
    for module, source in sources.items():
        compile(source, module, "exec", dont_inherit=True)


SOURCE = """
class A:
    @decorated
    def one(self):
        return 1

    def two(self):
        return 1
"""


def test_an_edit_changes_only_what_it_names() -> None:
    changed = broken(SOURCE, Edit("m:A.two", "return 1", "x = 1\n    return x"))
    assert changed == SOURCE.replace(
        "def two(self):\n        return 1", "def two(self):\n        x = 1\n        return x"
    )
    assert broken(SOURCE, Edit("m:A.one", "@decorated\n", "")) == SOURCE.replace(
        "    @decorated\n", ""
    )


@pytest.mark.parametrize(
    "edit", [Edit("m:A", "return 1", ""), Edit("m:A.one", "2", ""), Edit("m:A.three", "1", "")]
)
def test_an_edit_whose_text_is_not_there_exactly_once_is_out_of_date(edit: Edit) -> None:
    with pytest.raises(OutOfDate):
        broken(SOURCE, edit)
