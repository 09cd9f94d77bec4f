"""Changing a function's text for as long as a test lasts.

A mutant is a replacement in the source of one function. The text that is replaced must be there
exactly once: when the code moves on, its mutants say so instead of quietly proving nothing.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from inspect import getsource
from textwrap import dedent
from types import CodeType, FunctionType, ModuleType
from typing import Any


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `old` by `new` in the function at `place`: "package.module:Class.function"."""

    place: str
    old: str
    new: str


class OutOfDate(Exception):
    """The text that a mutant replaces is not in the code (any more)."""


@contextmanager
def mutated(edits: tuple[Edit, ...]) -> Iterator[None]:
    with ExitStack() as stack:
        for place in dict.fromkeys(edit.place for edit in edits):
            stack.enter_context(_mutated(place, [edit for edit in edits if edit.place == place]))
        yield


@contextmanager
def _mutated(place: str, edits: list[Edit]) -> Iterator[None]:
    module_name, _, path = place.partition(":")
    module = import_module(module_name)
    *outer, name = path.split(".")
    owner: Any = module
    for each in outer:
        owner = getattr(owner, each)
    original = vars(owner)[name]
    function = original.fget if isinstance(original, property) else original
    assert isinstance(function, FunctionType), f"{place} is no plain function"
    # The function stays the same one: imports and tables of rules hold references to it.
    code, function.__code__ = function.__code__, _changed(function, edits, module)
    try:
        yield
    finally:
        function.__code__ = code


def _changed(function: FunctionType, edits: list[Edit], module: ModuleType) -> CodeType:
    source = dedent(getsource(function))
    for edit in edits:
        if source.count(edit.old) != 1:
            raise OutOfDate(f"{edit.place} has {source.count(edit.old)} times {edit.old!r}")
        source = source.replace(edit.old, edit.new)
    lines = source.splitlines(keepends=True)
    start = next(i for i, line in enumerate(lines) if line.startswith("def "))
    code = compile(
        "from __future__ import annotations\n" + "".join(lines[start:]), edits[0].place, "exec"
    )
    made: dict[str, object] = {}
    exec(code, vars(module), made)
    changed = made[function.__name__]
    assert isinstance(changed, FunctionType)
    return changed.__code__
