"""`--log-level`, `--log-format` and `--log-config`, for the commands that run on."""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import click

from raftwork import logs

Command = TypeVar("Command", bound=Callable[..., None])


def logging_options(command: Command) -> Command:
    """Add these options. They are not passed to the command, which calls `start_logging`."""
    for option in (_config, _format, _level):  # the last one comes first in --help
        command = option(command)
    return command


def start_logging() -> None:
    """Have all that is logged from here on written as the present command's options say.

    Raises UsageError for a `--log-config` that `logging.config` does not take.
    """
    meta = click.get_current_context().meta
    try:
        logs.start(*(meta[f"{__name__}.{name}"] for name in ("level", "format", "document")))
    except (ValueError, TypeError, AttributeError, ImportError, OSError) as error:
        why = error if error.__cause__ is None else f"{error}: {error.__cause__}"
        file = meta[f"{__name__}.config"]
        raise click.UsageError(f"{file} is no configuration of logging: {why}") from error


def logging_values() -> dict[str, object]:
    """What the present command's options say, by their Python names."""
    meta = click.get_current_context().meta
    return {f"log_{name}": meta[f"{__name__}.{name}"] for name in ("level", "format", "config")}


def _keep(name: str) -> Callable[[click.Context, click.Parameter, object], None]:
    def keep(ctx: click.Context, _option: click.Parameter, value: object) -> None:
        ctx.meta[f"{__name__}.{name}"] = value

    return keep


def _keep_config(ctx: click.Context, option: click.Parameter, file: Path | None) -> None:
    ctx.meta[f"{__name__}.config"] = file
    ctx.meta[f"{__name__}.document"] = None if file is None else _read(ctx, option, file)


def _read(ctx: click.Context, option: click.Parameter, file: Path) -> Mapping[str, object]:
    """What `logging.config.dictConfig` takes."""
    try:
        text = file.read_bytes().decode()
        document = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise click.BadParameter(f"{file}: cannot be read: {why}", ctx, option) from None
    except RecursionError:
        text = f"{file}: cannot be read: brackets within brackets, too deep"
        raise click.BadParameter(text, ctx, option) from None
    if not isinstance(document, dict):
        raise click.BadParameter(f"{file}: must have a table of keys", ctx, option)
    return document


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
_config = click.option(
    "--log-config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="RAFTWORK_LOG_CONFIG",
    allow_from_autoenv=False,
    expose_value=False,
    callback=_keep_config,
    metavar="FILE",
    help="TOML, or .json, for logging.config.dictConfig, which then says all; or"
    " $RAFTWORK_LOG_CONFIG.",
)
