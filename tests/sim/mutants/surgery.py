"""Changing a function's text for as long as a test lasts.

A mutant is a replacement in the source of one function. The text that is replaced must be there
exactly once: when the code moves on, its mutants say so instead of quietly proving nothing.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from inspect import getsource
from textwrap import dedent
from types import FunctionType, ModuleType
from typing import Any, cast


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
    changed = _changed(original, edits, module)
    holders = [owner] if outer else _holders(name, original)
    for holder in holders:
        setattr(holder, name, changed)
    try:
        yield
    finally:
        for holder in holders:
            setattr(holder, name, original)


def _holders(name: str, original: object) -> list[ModuleType]:
    """Every module that has the function under its name: imports copy the reference."""
    modules = [m for key, m in sys.modules.items() if key.startswith("raftwork")]
    return [module for module in modules if vars(module).get(name) is original]


def _changed(original: object, edits: list[Edit], module: ModuleType) -> object:
    is_property = isinstance(original, property)
    function = cast("FunctionType", original.fget if isinstance(original, property) else original)
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
    return property(cast("Any", changed)) if is_property else changed
