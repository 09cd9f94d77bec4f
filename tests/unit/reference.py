"""docs/options.md, made of the code: `python -m tests.unit.reference`."""

import ast
import inspect
from pathlib import Path

from raftwork.client import options
from raftwork.features.queue_settings import SETTINGS

PAGE = Path(__file__).parents[2] / "docs/options.md"

_INTRO = """\
# Task options

Made of `src/raftwork/client/options.py` by `python -m tests.unit.reference`: change the texts
there.

Each may be given to `@app.task(…)`, for all calls of programs that import the task (`raftwork
enqueue`, which goes by its name alone, has the defaults), and to `task.options(…)` and
`app.named(name, …)`, for calls made through what these return. `Duration` is seconds, as int or
float, or a `timedelta`. Both also take `id`, the task's own id (the same id with the same contents
is stored once), and `key`, by which the balancer `consistent_hash` places it.

| option | type | default | |
|---|---|---|---|
"""


_OF_QUEUES = """
## What can be set for a queue

Made of `src/raftwork/features/queue_settings.py`. Given to `app.queue(name).set(…)`, or to
`raftwork queue set NAME`, at any time; `None`, on the command line `none`, clears a setting. What
waits already stays.

| setting | option | type | range | | without it |
|---|---|---|---|---|---|
"""


def documented() -> dict[str, tuple[str, str]]:
    """Each option's type and text, as written in its class."""
    tree = ast.parse(inspect.getsource(options.OptionFields))
    body = tree.body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            name = ast.unparse(field.target)
            found[name] = (
                ast.unparse(field.annotation),
                " ".join(ast.literal_eval(text.value).split()),
            )
    return found


def _default(name: str) -> str:
    value = getattr(options.Options(), name)
    if name in options.DURATIONS:
        return "None" if name == "timeout" else f"{value / 1000:g}"
    return repr(value)


def page() -> str:
    """The whole page."""
    names = {"Delivery": options.Delivery, "WhenFull": options.WhenFull}
    rows = []
    for name, (kind, text) in documented().items():
        choices = getattr(names.get(kind), "__args__", None)
        shown = " or ".join(f'`"{each}"`' for each in choices) if choices else f"`{kind}`"
        shown = shown.replace(" | ", "` or `")
        rows.append(f"| `{name}` | {shown} | `{_default(name)}` | {text} |")
    return _INTRO + "\n".join(rows) + "\n" + _queue_settings()


def _queue_settings() -> str:
    rows = []
    for name, setting in SETTINGS.items():
        most = "2^53" if setting.most == 2**53 else setting.most
        range_ = f"1 to {most} {setting.unit or 'characters'}"
        flag = f"--{name.replace('_', '-')}"
        kind = setting.kind.__name__
        facts = (f"`{name}`", f"`{flag}`", f"`{kind}` or `None`", range_)
        rows.append(f"| {' | '.join((*facts, setting.help, setting.unset))} |")
    return _OF_QUEUES + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
