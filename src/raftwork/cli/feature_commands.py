"""Commands that capabilities say of themselves (`CommandLine`), made into ones of click."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast, get_args, get_origin, get_type_hints

import click

from raftwork.cli.cluster import Cluster, Shown, shows
from raftwork.cli.output import out
from raftwork.features.catalogue import FEATURES
from raftwork.messages.bounds import objections

if TYPE_CHECKING:
    from raftwork.features.command_line import CommandLine, Option
    from raftwork.messages.registry import Frame

_Decorated = Callable[..., None]


class _Text(click.types.StringParamType):
    """What a frame can carry: an argument that is no UTF-8 is a str all the same."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Fail for what is not."""
        text = str(super().convert(value, param, ctx))
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail(f"it has a lone surrogate: {text!a}", param, ctx)
        return text


def command_lines() -> Iterator[CommandLine]:
    """Those of all capabilities."""
    for feature in FEATURES:
        yield from feature.command_lines


def add_to(group: click.Group, line: CommandLine) -> None:
    """Add the command under the group that its path names.

    Raises KeyError if there is no such group, and ValueError if it has a command of this name.
    """
    *names, last = line.path
    for name in names:
        found = group.commands[name]
        assert isinstance(found, click.Group), f"{line.path}: {name} is no group"
        group = found
    if last in group.commands:
        raise ValueError(f"{' '.join(line.path)}: there is a command of this name already")
    group.add_command(build(line))


def build(line: CommandLine) -> click.Command:
    """The command of click."""

    def run(cluster: Cluster, /, **given: object) -> Shown:
        values = {name: list(v) if isinstance(v, tuple) else v for name, v in given.items()}
        request = line.request(request=0, **values)
        if (wrong := objection(cast("Frame", request))) is not None:
            raise ValueError(wrong)
        reply = cluster.app.call(request, line.reply).result()
        fields = reply._asdict()
        said = line.says.format(**(request._asdict() | fields))
        return Shown(
            {name: fields[name] for name in fields if name != "request"}, lambda: out(said)
        )

    objection = objections(cast("type[Frame]", line.request))
    kinds = get_type_hints(line.request)
    command = shows(run)
    for option in reversed(line.options):
        command = _option(line, option, kinds[option.field])(command)
    for argument in reversed(line.arguments):
        command = _argument(argument.field, kinds[argument.field])(command)
    example = "\n".join(f"  {typed}" for typed in line.example.splitlines())
    text = f"{line.help}\n\n\b\nExample:\n{example}"
    return click.command(line.path[-1], help=text)(command)


def _argument(name: str, kind: object) -> Callable[[_Decorated], _Decorated]:
    many = get_origin(kind) is list
    metavar = f"{name.upper()}…" if many else name.upper()
    return click.argument(
        name, type=_type(kind), nargs=-1 if many else 1, required=True, metavar=metavar
    )


def _option(line: CommandLine, option: Option, kind: object) -> Callable[[_Decorated], _Decorated]:
    flag = f"--{option.field.replace('_', '-')}"
    if kind is bool:
        return click.option(flag, option.field, is_flag=True, help=option.help)
    make = partial(click.option, flag, option.field, type=_type(kind), help=option.help)
    default = inspect.signature(line.request).parameters[option.field].default
    if default is inspect.Parameter.empty:
        return make(required=True)
    return make(default=default, show_default=default is not None)


def _type(kind: object) -> type[float] | _Text | click.IntRange:
    """Of a field's type: its own, of a list that of its items, of `X | None` that of X."""
    for known in (kind, *get_args(kind)):
        if known is str:
            return _Text()
        if known is int:
            return click.IntRange(min=0)  # as frames carry it
        if known is float:
            return float
    raise TypeError(f"no option is of the type {kind}")
