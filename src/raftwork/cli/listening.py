"""Options that say where to listen."""

from importlib.util import find_spec

import click

from raftwork.addresses import parse_address


def check_listen(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """A callback: HOST:PORT, or nothing. Raises BadParameter."""
    if value is None:
        return None
    try:
        parse_address(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, option) from None
    return value


def check_http(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """A callback: the same, of what needs the extra `web`. Raises BadParameter."""
    checked = check_listen(ctx, option, value)
    if checked is not None and find_spec("uvicorn") is None:
        raise click.BadParameter("needs more: pip install 'raftwork[web]'", ctx, option)
    return checked
