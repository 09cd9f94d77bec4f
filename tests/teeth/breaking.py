"""Breaking the product in every process of a test: brokers, workers, their pools, commands.

The processes find `startup/sitecustomize.py` on PYTHONPATH and the break's name in BREAK. Modules
are changed as they are imported, so nothing of this is in the product, and nothing is left of it.
"""

import ast
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from textwrap import dedent, indent
from types import CodeType, ModuleType

from tests.sim.mutants.surgery import Edit, OutOfDate
from tests.teeth.catalogue import BREAKS

BREAK = "RAFTWORK_TEST_BREAK"
STARTUP = Path(__file__).parent / "startup"


def install() -> None:
    """Have this process import the product with the break that BREAK names, if it names one."""
    name = os.environ.get(BREAK)
    if name is not None:
        (found,) = (each for each in BREAKS if each.name == name)
        sys.meta_path.insert(0, _Finder(found.edits))


class _Finder(MetaPathFinder):
    def __init__(self, edits: Iterable[Edit]) -> None:
        self._edits = list(edits)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        edits = [edit for edit in self._edits if module_of(edit) == fullname]
        spec = PathFinder.find_spec(fullname, path, target) if edits else None
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin, edits)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, edits: list[Edit]) -> None:
        super().__init__(fullname, path)
        self._edits = edits

    def get_code(self, fullname: str) -> CodeType:
        source = Path(self.path).read_text()
        for edit in self._edits:
            source = broken(source, edit)
        return compile(source, self.path, "exec", dont_inherit=True)


def module_of(edit: Edit) -> str:
    return edit.place.partition(":")[0]


def broken(source: str, edit: Edit) -> str:
    """A module's source with the edit made. Raises OutOfDate unless its text is there once.

    The text is looked for in the function or class that the edit names, decorators included, as if
    that was not indented; in the whole module if it names none.
    """
    lines = source.splitlines(keepends=True)
    first, last = _extent(ast.parse(source), edit, len(lines))
    part = "".join(lines[first:last])
    plain = dedent(part)
    if plain.count(edit.old) != 1:
        raise OutOfDate(f"{edit.place} has {plain.count(edit.old)} times {edit.old!r}")
    margin = part[: len(part) - len(part.lstrip(" "))]
    changed = indent(plain.replace(edit.old, edit.new), margin)
    return "".join([*lines[:first], changed, *lines[last:]])


def _extent(tree: ast.Module, edit: Edit, lines: int) -> tuple[int, int]:
    """The lines (from, to) of what an edit names."""
    path = edit.place.partition(":")[2]
    body, extent = tree.body, (0, lines)
    for name in filter(None, path.split(".")):
        definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        found = [n for n in body if isinstance(n, definitions) and n.name == name]
        if len(found) != 1:
            raise OutOfDate(f"there is no {edit.place}")
        (node,) = found
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        body, extent = node.body, (first - 1, node.end_lineno or node.lineno)
    return extent
