"""`--log-level` and `--log-format`, for the commands that run on."""

from collections.abc import Callable
from typing import TypeVar

import click

from raftwork import logs

Command = TypeVar("Command", bound=Callable[..., None])


def logging_options(command: Command) -> Command:
    """Add both options. They are not passed to the command, which calls `start_logging`."""
    for option in (_format, _level):  # the last one comes first in --help
        command = option(command)
    return command


def start_logging() -> None:
    """Have all that is logged from here on written as the present command's options say."""
    meta = click.get_current_context().meta
    logs.start(meta[f"{__name__}.level"], meta[f"{__name__}.format"])


def logging_values() -> dict[str, str]:
    """What the present command's options say, by their Python names."""
    meta = click.get_current_context().meta
    return {f"log_{name}": meta[f"{__name__}.{name}"] for name in ("level", "format")}


def _keep(name: str) -> Callable[[click.Context, click.Parameter, str], None]:
    def keep(ctx: click.Context, _option: click.Parameter, value: str) -> None:
        ctx.meta[f"{__name__}.{name}"] = value

    return keep


_level = click.option(
    "--log-level",
    type=click.Choice(list(logs.LEVELS), case_sensitive=False),
    default="info",
    show_default=True,
    envvar="RAFTWORK_LOG_LEVEL",
    allow_from_autoenv=False,
    expose_value=False,
    callback=_keep("level"),
    help="The least severe records that are written to stderr; or $RAFTWORK_LOG_LEVEL.",
)
_format = click.option(
    "--log-format",
    type=click.Choice(logs.FORMATS, case_sensitive=False),
    default="text",
    show_default=True,
    envvar="RAFTWORK_LOG_FORMAT",
    allow_from_autoenv=False,
    expose_value=False,
    callback=_keep("format"),
    help="How each record is written, on a line of its own; or $RAFTWORK_LOG_FORMAT.",
)
