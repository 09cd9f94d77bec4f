"""docs/options.md and docs/events.md, made of the code: `python -m tests.unit.reference`."""

import ast
import inspect
import logging
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from raftwork.broker import event_logging as broker_journal
from raftwork.broker import events as of_brokers
from raftwork.client import options
from raftwork.client.cluster import bounds, outside
from raftwork.features import cluster_settings
from raftwork.features.queue_settings import SETTINGS
from raftwork.logs import event_name
from raftwork.worker import events as of_workers
from raftwork.worker import task_logging as worker_journal

PAGE = Path(__file__).parents[2] / "docs/options.md"
EVENTS = PAGE.with_name("events.md")

_ABOUT_EVENTS = """\
# Events

Made of the code by `python -m tests.unit.reference`: change the texts there.

What happens to a broker or worker is told as a value, and the log writes each as a line
([logs](logs.md)). With `--log-format json` a line's `fields` hold the event's name, as `event`, and
the values of the second column: filter by these rather than by texts, which change. New events and
values come with new releases; those that are here keep their names and meanings. Times are
milliseconds where nothing else is said.

There is no event of a task that succeeds: `raftwork status` counts them. What a broker tells of
each attempt that fails is `debug`, as its worker warns of it already.
"""

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


_OF_CLUSTERS = """
## What can be set for the cluster

Made of `src/raftwork/features/cluster_settings.py`. Given to `app.cluster.set(…)`, or as NAME=VALUE
to `raftwork cluster set`, at any time; `None`, on the command line `--reset NAME`, is the default.
Every broker keeps them, and goes by them from the same entry of the log on
([configuration](configuration.md#what-all-brokers-share)).

| setting | default | range | |
|---|---|---|---|
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
    return _INTRO + "\n".join(rows) + "\n" + _queue_settings() + _cluster_settings()


def _queue_settings() -> str:
    rows = []
    for name, setting in SETTINGS.items():
        most = "2^53" if setting.most == 2**53 else setting.most
        unit = setting.unit or ("characters" if setting.kind is str else "")
        range_ = f"{setting.least} to {most} {unit}".rstrip()
        if setting.kind is bool:
            range_ = ""
        flag = f"--{name.replace('_', '-')}"
        kind = setting.kind.__name__
        facts = (f"`{name}`", f"`{flag}`", f"`{kind}` or `None`", range_)
        rows.append(f"| {' | '.join((*facts, setting.help, setting.unset))} |")
    return _OF_QUEUES + "\n".join(rows) + "\n"


def _cluster_settings() -> str:
    rows = []
    for name, setting in cluster_settings.SETTINGS.items():
        default = outside(setting.unit, getattr(cluster_settings.DEFAULTS, name))
        range_ = bounds(setting).replace(str(2**53), "2^53").replace(" and ", " to ")
        rows.append(f"| `{name}` | {default} | {range_} | {setting.help} |")
    return _OF_CLUSTERS + "\n".join(rows) + "\n"


def events() -> str:
    """The page of all events."""
    parts = [_ABOUT_EVENTS]
    for title, union, levels in (
        ("Brokers (logger `raftwork.broker`)", of_brokers.Event, broker_journal.LEVELS),
        ("Workers (logger `raftwork.worker`)", of_workers.Event, worker_journal.LEVELS),
    ):
        parts.append(f"\n## {title}\n\n| event | values | level | |\n|---|---|---|---|\n")
        for kind in sorted(_members(get_args(union)), key=lambda kind: event_name(kind)):
            values = ", ".join(f"`{field.name}`" for field in fields(kind))
            level = logging.getLevelName(levels.get(kind, logging.INFO)).lower()
            text = " ".join((kind.__doc__ or "").split())
            assert not text.startswith(f"{kind.__name__}("), f"{kind.__name__} has no docstring"
            parts.append(f"| `{event_name(kind)}` | {values} | {level} | {text} |\n")
    return "".join(parts)


def _members(kinds: Iterable[Any]) -> Iterator[Any]:
    for kind in kinds:
        yield from _members(get_args(kind)) if get_args(kind) else (kind,)


if __name__ == "__main__":
    PAGE.write_text(page())
    EVENTS.write_text(events())
