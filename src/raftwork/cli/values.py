"""Values on the command line: JSON both ways.

What JSON has no way to write is {"$bytes": "<base64>"}, and {"$float": "NaN"}, "Infinity" or
"-Infinity".
"""

import base64
import binascii
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

import click

from raftwork.cli.output import out_document
from raftwork.client.addresses import broker_addresses
from raftwork.errors import KeyRefused
from raftwork.keys import Key, read_key
from raftwork.messages.flow_values import Failure

_Command = TypeVar("_Command", bound=Callable[..., object])

_FLOATS = ("NaN", "Infinity", "-Infinity")


#: Of an integer, with its sign, that is given to the App at all: it refuses what has over 64 bits.
_DIGITS = 100
#: As the library has it (client/options.py): a hundred years.
_SECONDS_MAX = 100 * 366 * 86_400
_UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class NotJSON(ValueError):
    """A text that is not a JSON document. NaN and Infinity are not JSON either."""


def parse_argument(text: str) -> object:
    """A positional argument: JSON if it parses, else the text itself.

    Raises ValueError for JSON that does not say what is meant, as `parse_json`.
    """
    try:
        return parse_json(text)
    except NotJSON:
        return text


def parse_json(text: str) -> object:
    """A JSON document's value. Raises NotJSON for anything else.

    Raises ValueError for a document with a key given twice, a number that no float or integer of
    ours holds, or more brackets within brackets than are read.
    """
    flaws: list[str] = []

    def record(pairs: list[tuple[str, object]]) -> object:
        made = dict(pairs)
        if len(made) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in made if keys.count(key) > 1)
            flaws.append(f"the key {twice!r:.80} is given twice")
        return _revive(made)

    def integer(digits: str) -> int:
        if len(digits) <= _DIGITS:
            return int(digits)
        flaws.append(f"an integer of {len(digits)} digits; those of 64 bits can be sent")
        return 0

    def number(digits: str) -> float:
        if math.isinf(value := float(digits)):
            flaws.append(f"{digits:.40} is more than a float can be")
        return value

    try:
        value: object = json.loads(
            text,
            object_pairs_hook=record,
            parse_int=integer,
            parse_float=number,
            parse_constant=_no_json,
        )
    except json.JSONDecodeError as error:
        raise NotJSON(f"not JSON: {error}") from None
    except RecursionError:
        raise ValueError(
            "brackets within brackets, too deep to be read as JSON; as text it needs quotes of JSON"
        ) from None
    if flaws:  # only now is it known that the text is JSON, and not one that looks like it
        raise ValueError(flaws[0])
    return value


def parse_size(text: str) -> int:
    """A number of bytes, at least one: `300`, `300KiB`, `300MiB` or `2GiB`. Raises ValueError."""
    found = re.fullmatch(r"([1-9][0-9]{0,14})(KiB|MiB|GiB|)", text)
    if found is None:
        raise ValueError(f"{text!r} is not a number of bytes, KiB, MiB or GiB")
    return int(found[1]) * _UNITS[found[2]]


def parse_tag(text: str) -> tuple[str, str]:
    """`customer=7` as its key and its value. Raises ValueError."""
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise ValueError(f"{text!r} is not KEY=VALUE")
    return key, value


def json_object(ctx: click.Context, option: click.Parameter, value: str) -> dict[str, object]:
    """A callback: a JSON object."""
    try:
        parsed = parse_json(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, option) from None
    if not isinstance(parsed, dict):
        raise click.BadParameter("not a JSON object", ctx, option)
    return parsed


def instant(ctx: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    """A callback: a time with its zone, in ISO 8601."""
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no time, such as 2027-01-01T09:00:00+01:00", ctx, option
        ) from None
    if at.utcoffset() is None:
        raise click.BadParameter(
            f"{value!r} has no time zone: add Z, or an offset such as +01:00", ctx, option
        )
    return at


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    out_document(json.dumps(_plain(value), ensure_ascii=False, allow_nan=False))


def _no_json(name: str) -> object:
    raise NotJSON(f"not JSON: {name}")


def _revive(record: dict[str, object]) -> object:
    if len(record) != 1:
        return record
    ((kind, text),) = record.items()
    if kind == "$float" and text in _FLOATS:
        return float(str(text))
    if kind != "$bytes" or not isinstance(text, str):
        return record
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise NotJSON(f"$bytes: {error}") from None


def _plain(value: object) -> object:
    match value:
        case bytes():
            return {"$bytes": base64.b64encode(value).decode()}
        case float() if not math.isfinite(value):
            return {"$float": json.dumps(value)}
        case Failure():
            return value._asdict()
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
    return value


def check_addresses(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """For `--brokers`: the same, without spaces. Without a value those of the environment count."""
    try:
        addresses = broker_addresses(value)  # without a value, those of the environment
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, option) from None
    return value and ",".join(addresses)


def read_key_file(ctx: click.Context, option: click.Parameter, value: str | None) -> Key | None:
    """For `--key`: the key in that file, if one is given."""
    if not value:
        return None
    try:
        return read_key(value)
    except KeyRefused as error:
        raise click.BadParameter(str(error), ctx, option) from None


@contextmanager
def usage() -> Iterator[None]:
    """Show values that the library refuses as wrong usage of the command."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(str(error)) from None


#: `--brokers` by itself, checked.
addresses_option = click.option(
    "--brokers",
    metavar="HOST:PORT,…",
    callback=check_addresses,
    help="The brokers' addresses (default: $RAFTWORK_BROKERS, then 127.0.0.1:7701 to 7703).",
)


def use_key_file(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    """For `--key` of what asks brokers: all that this process opens has that key from now on.

    So have the programs that it starts.
    """
    if read_key_file(ctx, option, value) is not None:
        os.environ["RAFTWORK_KEY"] = os.path.abspath(str(value))


def be_nobody() -> None:
    """Have no key from now on, and no codec: for brokers of our own, which have none."""
    for variable in ("RAFTWORK_KEY", "RAFTWORK_SECRETS"):
        os.environ.pop(variable, None)


_key_option = click.option(
    "--key",
    "key_file",
    type=click.Path(dir_okay=False),
    expose_value=False,
    callback=use_key_file,
    metavar="FILE",
    help="Who this is, where brokers have keys (default: $RAFTWORK_KEY).",
)


def brokers_option(command: _Command) -> _Command:
    """Add `--brokers`, checked, and `--key`.

    None leaves the choice of the former to the App, then to RAFTWORK_BROKERS.
    """
    return addresses_option(_key_option(command))


class Seconds(click.FloatRange):
    """A number of seconds, at most the library's limit, and positive unless `none`."""

    def __init__(self, *, none: bool = False, least: float = 0, most: float = _SECONDS_MAX) -> None:
        super().__init__(min=least, max=most, min_open=not least and not none)

    def convert(
        self, value: float | str, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Fails for NaN, too, which is neither below nor above anything."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if math.isnan(seconds):
            self.fail(f"{value!r} is no number of seconds", param, ctx)
        return float(super().convert(seconds, param, ctx))


#: `--timeout` of a command that asks every broker for its own facts.
patience_option = click.option(
    "--timeout",
    type=Seconds(),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds each broker has to answer.",
)


#: `--json`, as `as_json`.
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


def _timeout(text: str) -> Callable[[_Command], _Command]:
    return click.option("--timeout", type=Seconds(), metavar="S", help=text)


#: `--timeout`, in seconds.
timeout_option = _timeout("Seconds to wait at most (default: 10).")

#: `--timeout`, in seconds, of a command that has `--wait`.
wait_timeout_option = _timeout(
    "Seconds to wait at most (default: 10 for the brokers' answer, no limit with --wait)."
)
