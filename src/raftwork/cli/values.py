"""Values on the command line: JSON both ways.

What JSON has no way to write is {"$bytes": "<base64>"}, and {"$float": "NaN"}, "Infinity" or
"-Infinity".
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager

import click

from raftwork.client.addresses import broker_addresses

_FLOATS = ("NaN", "Infinity", "-Infinity")


_UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def parse_argument(text: str) -> object:
    """A positional argument: JSON if it parses, else the text itself."""
    try:
        return parse_json(text)
    except ValueError:
        return text


def parse_json(text: str) -> object:
    """A JSON document; raises ValueError for anything else, NaN and Infinity included."""
    value: object = json.loads(text, object_hook=_revive, parse_constant=_no_json)
    return value


def parse_size(text: str) -> int:
    """A number of bytes, at least one: `300`, `300KiB`, `300MiB` or `2GiB`. Raises ValueError."""
    found = re.fullmatch(r"([1-9][0-9]{0,14})(KiB|MiB|GiB|)", text)
    if found is None:
        raise ValueError(f"{text!r} is no number of bytes, KiB, MiB or GiB")
    return int(found[1]) * _UNITS[found[2]]


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(_plain(value), ensure_ascii=False, allow_nan=False))


def _no_json(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


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
        raise ValueError(f"$bytes: {error}") from None


def _plain(value: object) -> object:
    match value:
        case bytes():
            return {"$bytes": base64.b64encode(value).decode()}
        case float() if not math.isfinite(value):
            return {"$float": json.dumps(value)}
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
    return value


def _addresses(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    try:
        addresses = broker_addresses(value)  # without a value, those of the environment
    except ValueError as error:
        text = str(error) if value is not None else f"RAFTWORK_BROKERS: {error}"
        raise click.BadParameter(text, ctx, option) from None
    return value and ",".join(addresses)


@contextmanager
def usage() -> Iterator[None]:
    """What the library refuses to be told is wrong usage of the command."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(str(error)) from None


#: `--brokers`, checked; None leaves the choice to the App, then to RAFTWORK_BROKERS.
brokers_option = click.option(
    "--brokers",
    metavar="HOST:PORT,…",
    callback=_addresses,
    help="The brokers' addresses (default: $RAFTWORK_BROKERS, then 127.0.0.1:7701 to 7703).",
)

#: `--timeout`, in seconds.
timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Seconds to wait at most.",
)
