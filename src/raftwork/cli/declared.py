"""Commands that capabilities say of themselves (`CommandLine`), made into ones of click."""

from collections.abc import Callable, Iterator
from functools import partial

import click

from raftwork.cli.cluster import Cluster, Shown, shows
from raftwork.cli.output import out
from raftwork.features import FEATURES
from raftwork.features.command_line import Argument, CommandLine, Option, R


def command_lines() -> Iterator[CommandLine[tuple[object, ...]]]:
    """Those of all capabilities."""
    for feature in FEATURES:
        line = getattr(feature, "COMMAND_LINE", None)
        if isinstance(line, CommandLine):
            yield line


def add_to(group: click.Group, line: CommandLine[R]) -> None:
    """Add the command under the group that its path names.

    Raises KeyError if there is no such group, and ValueError if it has a command of this name.
    """
    *names, last = line.path.split()
    for name in names:
        found = group.commands[name]
        assert isinstance(found, click.Group), f"{line.path}: {name} is no group"
        group = found
    if last in group.commands:
        raise ValueError(f"{line.path}: there is a command of this name already")
    group.add_command(build(last, line))


def build(name: str, line: CommandLine[R]) -> click.Command:
    """The command of click, under this name."""

    def run(cluster: Cluster, /, **given: object) -> Shown:
        reply = cluster.app.call(line.request(**given), line.reply).result()
        _, *values = reply
        fields: tuple[str, ...] = getattr(reply, "_fields", ())
        document = dict(zip(fields[1:], values, strict=True))
        return Shown(document, lambda: out(line.line(reply)))

    decorators: list[Callable[..., Callable[..., None]]] = []
    decorators += [_argument(each) for each in line.arguments]
    decorators += [_option(each) for each in line.options]
    command = shows(run)
    for decorate in reversed(decorators):
        command = decorate(command)
    example = "\n".join(f"  {typed}" for typed in line.example.splitlines())
    text = "\n\n".join(filter(None, (line.summary, line.details, f"\b\nExample:\n{example}")))
    return click.command(name, help=text, short_help=line.summary.removesuffix("."))(command)


def _argument(argument: Argument) -> Callable[..., Callable[..., None]]:
    metavar = argument.name.upper() + ("…" if argument.many else "")
    count = -1 if argument.many else 1
    return click.argument(
        argument.name, type=argument.kind, nargs=count, required=True, metavar=metavar
    )


def _option(option: Option) -> Callable[..., Callable[..., None]]:
    flag = f"--{option.name.replace('_', '-')}"
    make = partial(click.option, flag, option.name, help=option.help)
    if option.kind is bool:
        return make(is_flag=True)
    shown = option.default is not None
    return make(
        type=option.kind, default=option.default, required=option.required, show_default=shown
    )
