"""Move modules and rename identifiers over the whole tree, catalogues of mutants and docs included.

    python -m tools.rename PLAN.toml [--root DIR]

    [packages]                       # made where they are missing, with this docstring
    "raftwork.broker.workers" = "The workers as the active leader knows them."
    [modules]                        # and tests that mirror them: "tests.unit.broker.test_hands"
    "raftwork.broker.hands" = "raftwork.broker.workers.assignments"
    [names]                          # identifiers of the code, wherever they are used
    Hand = "Assignment"
    [within."consensus/raft"]        # and those that are meant in files below this path only
    stand = "campaign"

What is changed, in files that git tracks:
1. Python: imports and dotted paths of moved modules, and every NAME token that is in [names]. Never
   comments or prose: "hand" is an English word.
2. `Edit(...)` and mutants in tests name places by dotted path, some of it in a constant of an
   f-string, and hold fragments of source text: both are followed.
3. Markdown, TOML and the Makefile: dotted paths, paths of files, and names in `backticks`.

A line that became too long, imports out of order and an attribute that now clashes with another are
for ruff, mypy and the tests: run them after each plan, and commit each move by itself.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

#: Calls whose string arguments are source text of the product.
_SOURCE_TEXT = {"Edit", "mutant", "_mutant"}
_TEXTS = {".md", ".sh", ".toml", ".cfg", ".yml", ".txt", ""}
#: Old names stand in them as examples.
_EXAMPLES = {"tools/rename.py", "tests/unit/test_rename.py"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be called what."""

    modules: Mapping[str, str]
    names: Mapping[str, str]
    packages: Mapping[str, str]
    within: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, path: str) -> "Plan":
        """The plan for one file: with the names that are meant there."""
        here = [names for part, names in self.within.items() if f"/{part}" in path]
        names = dict(self.names)
        for each in here:
            names |= each
        return replace(self, names=names)

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Raises ValueError for a table or a value that is none of a plan's."""
        document = tomllib.loads(path.read_text())
        surplus = document.keys() - {"modules", "names", "packages", "within"}
        if surplus:
            tables = "[modules], [names], [packages] and [within.PATH]"
            raise ValueError(f"a plan has {tables}, not {sorted(surplus)}")
        modules, names, packages, within = (
            document.get(part, {}) for part in ("modules", "names", "packages", "within")
        )
        every = (modules, names, packages, *within.values())
        if not all(isinstance(value, str) for table in every for value in table.values()):
            raise ValueError("every value of a plan is a string")
        return cls(modules, names, packages, within)


def dotted(text: str, modules: Mapping[str, str]) -> str:
    """`text` with every dotted path of a moved module replaced, all of them at once."""
    if not modules:
        return text
    longest_first = sorted(modules, key=len, reverse=True)
    found = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, longest_first))})(?!\w)")
    return found.sub(lambda match: modules[match[1]], text)


def files(text: str, modules: Mapping[str, str]) -> str:
    """`text` with the paths of moved files replaced: broker/hands.py, raftwork/broker/hands.py."""
    for old, new in modules.items():
        if old.startswith("tests."):
            text = text.replace(f"{old.replace('.', '/')}.py", f"{new.replace('.', '/')}.py")
            continue
        known, parts = f"{new.partition('.')[2].replace('.', '/')}.py", old.split(".")[1:]
        for first in range(len(parts) - 1):
            tail = re.escape("/".join(parts[first:]))
            text = re.sub(rf"(?<![\w/]){tail}\.py\b", known, text)
        text = re.sub(rf"raftwork/{re.escape('/'.join(parts))}\.py\b", f"raftwork/{known}", text)
    return text


def words(text: str, names: Mapping[str, str]) -> str:
    """`text` with every whole identifier replaced, all of them at once."""
    if not names:
        return text
    found = re.compile(r"\b(" + "|".join(map(re.escape, names)) + r")\b")
    return found.sub(lambda match: names[match[1]], text)


# ---- Python -------------------------------------------------------------------------------------


def python(source: str, plan: Plan) -> str:
    """A Python file as it is under the plan."""
    source = dotted(source, plan.modules)  # first: a package may be called as a module was
    source = files(source, plan.modules)
    source = _from_imports(source, plan.modules)
    source = _places(source, plan.modules)
    source = _source_texts(source, plan.names)
    return _tokens(source, plan.names)


def _replace(source: str, changes: list[tuple[int, int, str]]) -> str:
    """Put each text in place of its span of characters."""
    for start, end, text in sorted(changes, reverse=True):
        source = source[:start] + text + source[end:]
    return source


def _offsets(source: str) -> Callable[[int, int], int]:
    """From ast's line and column (in UTF-8 bytes) to an index into `source`."""
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def offset(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    return offset


def _halfway(modules: Mapping[str, str]) -> dict[str, str]:
    """The moves, for places where a module's package stands apart and has its new name already."""
    apart = [(old.rpartition("."), new) for old, new in modules.items()]
    return {f"{dotted(package, modules)}.{name}": new for (package, _, name), new in apart}


def _from_imports(source: str, modules: Mapping[str, str]) -> str:
    """`from package import module` for modules that move; what is called so is renamed with it."""
    tree, offset = ast.parse(source), _offsets(source)
    changes: list[tuple[int, int, str]] = []
    renamed: dict[str, str] = {}
    modules = _halfway(modules)
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        moved = [a for a in node.names if f"{node.module}.{a.name}" in modules]
        if not moved:
            continue
        lines, pad = [], " " * node.col_offset
        if stays := [a for a in node.names if a not in moved]:
            listed = ", ".join(a.name + (f" as {a.asname}" if a.asname else "") for a in stays)
            lines.append(f"from {node.module} import {listed}")
        for alias in moved:
            package, _, name = modules[f"{node.module}.{alias.name}"].rpartition(".")
            known = f" as {alias.asname}" if alias.asname else ""
            lines.append(f"from {package} import {name}{known}")
            if not alias.asname:
                renamed[alias.name] = name
        assert node.end_lineno is not None and node.end_col_offset is not None
        start = offset(node.lineno, node.col_offset)
        end = offset(node.end_lineno, node.end_col_offset)
        changes.append((start, end, f"\n{pad}".join(lines)))
    source = _replace(source, changes)
    # Only `module.something` and setattr(module, "SOMETHING"): elsewhere it may be another's name.
    for old, new in renamed.items():
        source = re.sub(rf"(?<![\w.\"']){re.escape(old)}(?=\.\w|, \"\w+\")", new, source)
    return source


def _places(source: str, modules: Mapping[str, str]) -> str:
    """f"{_BROKER}.hands:Hand.of", where _BROKER is a constant of the same file."""
    constants: dict[str, str] = {}
    modules = _halfway(modules)
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name | ast.Tuple):
            target, value = node.targets[0], node.value
            targets = target.elts if isinstance(target, ast.Tuple) else [target]
            values = value.elts if isinstance(value, ast.Tuple) else [value]
            for name, constant in zip(targets, values, strict=False):
                if isinstance(name, ast.Name) and isinstance(constant, ast.Constant):
                    constants[name.id] = str(constant.value)

    def followed(match: re.Match[str]) -> str:
        old = f"{constants.get(match[1], '?')}.{match[2]}"
        new = modules.get(old)
        if new is None:
            return match[0]
        fitting = [(len(v), k) for k, v in constants.items() if new.startswith(f"{v}.")]
        size, constant = max(fitting, default=(-1, ""))
        return f"{{{constant}}}{new[size:]}:" if fitting else f"{new}:"

    return re.sub(r"\{(\w+)\}\.([\w.]+):", followed, source)


def _source_texts(source: str, names: Mapping[str, str]) -> str:
    """The strings of mutants and teeth, which are code."""
    offset, changes = _offsets(source), []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id not in _SOURCE_TEXT:
            continue
        for value in [*node.args, *(keyword.value for keyword in node.keywords)]:
            if isinstance(value, ast.Constant | ast.JoinedStr) and value.end_lineno is not None:
                start = offset(value.lineno, value.col_offset)
                end = offset(value.end_lineno, value.end_col_offset or 0)
                changes.append((start, end, words(source[start:end], names)))
    return _replace(source, changes)


def _tokens(source: str, names: Mapping[str, str]) -> str:
    if not names:
        return source
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    changes: list[tuple[int, int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        start = starts[token.start[0] - 1] + token.start[1]
        end = starts[token.end[0] - 1] + token.end[1]
        if token.type == tokenize.NAME and token.string in names:
            changes.append((start, end, names[token.string]))
        elif token.type == tokenize.STRING and "f" in token.string[:2].lower():
            # Up to Python 3.11 an f-string is one token; what stands in braces is code.
            inside = re.sub(
                r"(?<!\{)\{[^{}]*\}", lambda match: words(match[0], names), token.string
            )
            changes.append((start, end, inside))
    return _replace(source, changes)


# ---- everything else ----------------------------------------------------------------------------


def prose(text: str, plan: Plan) -> str:
    """A page, a table of settings or a recipe."""
    text = files(dotted(text, plan.modules), plan.modules)
    return re.sub(r"`[^`\n]+`", lambda match: words(match[0], plan.names), text)


def _path(root: Path, module: str) -> Path:
    """The file of a module; of a package, its `__init__.py`."""
    base = root if module.startswith("tests.") else root / "src"
    path = base.joinpath(*module.split("."))
    file = path.with_suffix(".py")
    return path / "__init__.py" if path.is_dir() and not file.exists() else file


def carry_out(plan: Plan, root: Path) -> list[Path]:
    """Do it all below `root`; gives the files that changed. Raises OSError, CalledProcessError."""
    for package, docstring in plan.packages.items():
        init = _path(root, f"{package}.__init__")
        if not init.exists():
            init.parent.mkdir(parents=True, exist_ok=True)
            init.write_text(f'"""{docstring}"""\n')
    for old, new in plan.modules.items():
        source = _path(root, old)
        target = _path(root, new)
        if source.name == "__init__.py" and target.name != source.name:
            target = target.with_suffix("") / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "mv", str(source), str(target)], cwd=root, check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True
    )
    changed = []
    for name in filter(None, listed.stdout.split("\0")):
        if name in _EXAMPLES:
            continue
        path = root / name
        if path.is_symlink() or path.suffix not in {".py", *_TEXTS}:
            continue
        before = path.read_text()
        meant = plan.of(f"/{name}")
        after = python(before, meant) if path.suffix == ".py" else prose(before, meant)
        if after != before:
            path.write_text(after)
            changed.append(path)
    return changed


if __name__ == "__main__":
    where = Path(sys.argv[3]) if sys.argv[2:3] == ["--root"] else Path.cwd()
    for each in carry_out(Plan.read(Path(sys.argv[1])), where):
        print(each)
