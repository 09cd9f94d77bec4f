"""`--config FILE`: what the flags say, written down; and `--check-config`, which shows what holds.

1. Flags go before the environment, that before the file, and that before the defaults: click's own
   order, in which the file is the command's `default_map`.
2. A file has a table for each command, and in it keys named as the flags. Unknown keys are
   refused, in every table: a typo must not run with a default.
3. A value has the type that it is written with: "8" is a string and no number.
4. A relative path is meant from the directory that the file is in, wherever the command is started.
"""

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import click
from click.core import ParameterSource

from raftwork.cli.output import out_table
from raftwork.cli.tables import Column, Overflow
from raftwork.cli.values import print_json

_Command = TypeVar("_Command", bound=Callable[..., object])

#: Options about the file itself, which no file may contain.
_NO_KEYS: Final = frozenset({"config", "check_config", "as_json"})
_FILE: Final = f"{__name__}.file"


@dataclass(frozen=True, slots=True)
class Form:
    """What a value in a file must be."""

    what: str
    kinds: tuple[type, ...]

    def fits(self, value: object) -> bool:
        """Whether it is that. True and false are no numbers here.

        What no command line could say is none of it: a NUL, a number of more than 64 bits.
        """
        if isinstance(value, bool):
            return bool in self.kinds
        if isinstance(value, list):
            return list in self.kinds and all(map(_is_one, value))
        if isinstance(value, dict):
            return dict in self.kinds and all(map(_is_one, (*value, *value.values())))
        if isinstance(value, str):
            return str in self.kinds and "\0" not in value
        if isinstance(value, int):
            return int in self.kinds and -(2**63) <= value < 2**63
        return isinstance(value, self.kinds)


def _is_one(value: object) -> bool:
    """Whether it is a text that stays one when it is joined with others."""
    return _TEXT.fits(value) and "," not in str(value)


class Written(click.types.StringParamType):
    """A text on the command line that a file may write in another form, too."""

    def __init__(self, form: Form) -> None:
        self.form = form

    def convert(
        self,
        value: object,
        param: click.Parameter | None,  # noqa: ARG002 - it is click's signature
        ctx: click.Context | None,  # noqa: ARG002
    ) -> str:
        """As it would be on the command line."""
        if isinstance(value, list):
            return ",".join(map(str, value))
        if isinstance(value, dict):
            return ",".join(f"{name}={each}" for name, each in value.items())
        return str(value)


#: `a,b`, or an array of strings.
NAMES: Final = Written(Form("an array of strings, or one string; commas part them", (str, list)))
#: `a=x,b=y`, or a table of strings.
PAIRS: Final = Written(Form("a table of strings, or one string; commas part them", (str, dict)))
#: `300MiB`, or an integer: bytes.
SIZE: Final = Written(Form('an integer, or a string such as "300MiB"', (str, int)))

_TEXT: Final = Form("a string", (str,))
_FORMS: Final = (
    (click.types.BoolParamType, Form("true or false", (bool,))),
    (click.types.IntParamType, Form("an integer", (int,))),
    (click.types.FloatParamType, Form("a number", (int, float))),
)


def _form(option: click.Parameter) -> Form:
    if isinstance(option.type, Written):
        return option.type.form
    return next((form for kind, form in _FORMS if isinstance(option.type, kind)), _TEXT)


def _key(option: click.Parameter) -> str:
    """As it is called in a file: a flag's name, or an argument's."""
    flags = [flag for flag in option.opts if flag.startswith("--")]
    return flags[0].removeprefix("--") if flags else option.name or ""


def _keys(command: click.Command) -> dict[str, click.Parameter]:
    return {_key(each): each for each in command.params if each.name not in _NO_KEYS}


class Configured(click.Command):
    """A command that reads `--config`: its errors say where a wrong value stands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Raise click's errors, which name the variable or the file that a value came from."""
        try:
            return super().parse_args(ctx, args)
        except click.BadParameter as error:
            option = error.param
            if option is not None and error.param_hint is None:
                where = _where(ctx, option)
                if where:
                    error.param_hint = where
            raise


def _where(ctx: click.Context, option: click.Parameter) -> str:
    """Where a value that is no flag's stands, for people; else empty."""
    match ctx.get_parameter_source(option.name or ""):
        case ParameterSource.ENVIRONMENT:
            return f"the variable {_variable(ctx, option)}"
        case ParameterSource.DEFAULT_MAP:
            return f"{_key(option)} of [{ctx.command.name}] in {ctx.meta[_FILE]}"
    return ""


def _variable(ctx: click.Context, option: click.Parameter) -> str:
    """The variable that the option was read from."""
    named = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
    found = [name for name in named if os.environ.get(name)]
    return found[0] if found else f"{ctx.auto_envvar_prefix}_{(option.name or '').upper()}"


# ---- the file -----------------------------------------------------------------------------------


def _read(ctx: click.Context, option: click.Parameter, file: Path | None) -> None:
    """Make the values of the command's table its defaults."""
    if file is None:
        return

    def refuse(text: str) -> NoReturn:
        raise click.BadParameter(f"{file}: {text}", ctx, option)

    try:
        # With the mark that editors of Windows put before UTF-8.
        document = tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        refuse(f"is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8")
    except (OSError, ValueError) as error:  # no UTF-8, no TOML, or thousands of digits
        refuse(f"cannot be read: {getattr(error, 'strerror', None) or error}")
    except RecursionError:
        refuse("cannot be read: brackets within brackets, too deep")
    commands = _configured(ctx)
    for name in document:
        if name not in commands:
            tables = " and ".join(f"[{each}]" for each in commands)
            refuse(f"no table {name!r} is known{_near(name, commands)}; there are {tables}")
    for name, command in commands.items():
        _check(name, document.get(name, {}), _keys(command), refuse)
    keys = _keys(ctx.command)
    values = document.get(ctx.command.name or "", {})
    ctx.default_map = {
        keys[key].name or "": _from(file, keys[key], value) for key, value in values.items()
    }
    ctx.meta[_FILE] = file


def _configured(ctx: click.Context) -> Mapping[str, click.Command]:
    """The commands that a table may be for."""
    group = ctx.parent.command if ctx.parent else None
    found = group.commands.values() if isinstance(group, click.Group) else [ctx.command]
    return {each.name or "": each for each in found if isinstance(each, Configured)}


def _check(
    table: str,
    values: object,
    keys: Mapping[str, click.Parameter],
    refuse: Callable[[str], NoReturn],
) -> None:
    if not isinstance(values, dict):
        refuse(f"{table} must be a table, [{table}]")
    for key, value in values.items():
        if key not in keys:
            refuse(f"[{table}] has no key {key!r}{_near(key, keys)}")
        form = _form(keys[key])
        if not form.fits(value):
            refuse(f"{key} of [{table}] must be {form.what}, got {_shown_value(value)}")


def _near(name: str, known: Iterable[str]) -> str:
    """A hint at similar names, for an error."""
    close = get_close_matches(name.replace("_", "-").lower(), list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _shown_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value!r:.80}"


def _from(file: Path, option: click.Parameter, value: object) -> object:
    if isinstance(option.type, click.Path) and value:  # an empty one is refused, not a directory
        return str(file.parent / str(value))
    return value


# ---- the options, and what they show ------------------------------------------------------------


def config_options(command: _Command) -> _Command:
    """Add `--config`, `--check-config` and `--json`. `checked` takes the latter two."""
    for option in reversed(_OPTIONS):  # the last one comes first in --help
        command = option(command)
    return command


def _keep(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    ctx.meta[f"{__name__}.{option.name}"] = value


_OPTIONS = (
    click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        envvar="RAFTWORK_CONFIG",
        allow_from_autoenv=False,
        callback=_read,
        metavar="FILE",
        help="A TOML file with a table for this command, in it keys named as these options.",
    ),
    click.option(
        "--check-config",
        is_flag=True,
        expose_value=False,
        allow_from_autoenv=False,
        callback=_keep,
        help="Check every value, print it and where it comes from, and start nothing.",
    ),
    click.option(
        "--json",
        "as_json",
        is_flag=True,
        expose_value=False,
        allow_from_autoenv=False,
        callback=_keep,
        help="With --check-config: one JSON document.",
    ),
)

_COLUMNS: Final = (
    Column("option"),
    Column("value", 1, Overflow.WHOLE),
    Column("from", 2, Overflow.WHOLE),
)


def checked(effective: Mapping[str, object]) -> bool:
    """Whether the command has done its part: with `--check-config` it is shown what would hold.

    `effective` is each option's value by its Python name, as the command would use it.
    """
    ctx = click.get_current_context()
    as_json = ctx.meta[f"{__name__}.as_json"]
    if not ctx.meta[f"{__name__}.check_config"]:
        if as_json:
            raise click.UsageError("--json goes with --check-config")
        return False
    settings = {
        key: (effective[option.name or ""], *_source(ctx, option))
        for key, option in _keys(ctx.command).items()
    }
    if as_json:
        document = {
            key: {"value": _plain(value), "from": source, "where": where or None}
            for key, (value, source, where) in settings.items()
        }
        print_json(document)
        return True
    rows = [
        (key, _text(value), f"{source} {where}".rstrip())
        for key, (value, source, where) in settings.items()
    ]
    out_table(_COLUMNS, rows)
    return True


def _source(ctx: click.Context, option: click.Parameter) -> tuple[str, str]:
    """Where a value comes from, and which variable or file that is."""
    match ctx.get_parameter_source(option.name or ""):
        case ParameterSource.COMMANDLINE:
            return "command line", ""
        case ParameterSource.ENVIRONMENT:
            return "environment", _variable(ctx, option)
        case ParameterSource.DEFAULT_MAP:
            return "file", str(ctx.meta[_FILE])
    return "default", ""


def _plain(value: object) -> object:
    match value:
        case Path():
            return str(value)
        case tuple() | list():
            return [_plain(each) for each in value]
    return value


def _text(value: object) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case tuple() | list():
            return ",".join(map(str, value))
        case dict():
            return ",".join(f"{name}={each}" for name, each in value.items())
    return str(value)
