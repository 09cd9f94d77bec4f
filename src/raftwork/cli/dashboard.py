"""`raftwork dashboard`: a cluster in a browser."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

import click

from raftwork.addresses import parse_address
from raftwork.cli.logging_options import logging_options, start_logging
from raftwork.cli.output import err
from raftwork.cli.signals import leave_when_told
from raftwork.cli.values import brokers_option, usage

_ROLES: Final = ("viewer", "operator", "admin")


def _listen(ctx: click.Context, option: click.Parameter, value: str) -> str:
    try:
        parse_address(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, option) from None
    return value


def _root(ctx: click.Context, option: click.Parameter, value: str) -> str:
    if value and (not value.startswith("/") or value.endswith("/") or "{" in value):
        raise click.BadParameter("must begin with / and not end with one", ctx, option)
    return value


def _link(ctx: click.Context, option: click.Parameter, value: str) -> str:
    if value and not (value.startswith(("http://", "https://")) and "{task_id}" in value):
        text = "must begin with http:// or https:// and have {task_id} in it"
        raise click.BadParameter(text, ctx, option)
    return value


@click.command("dashboard")
@click.option(
    "--listen",
    default="127.0.0.1:7780",
    show_default=True,
    metavar="HOST:PORT",
    callback=_listen,
    help="Where it answers; beyond loopback it takes --token-file or --auth-header.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, exists=True),
    metavar="DIR",
    help="The directory of a broker of this machine: the room on its disk is watched, too.",
)
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, exists=True),
    metavar="FILE",
    help="Who may do what: lines as `raftwork dashboard-token` prints them.",
)
@click.option("--read-only", is_flag=True, help="Nothing can be changed.")
@click.option("--no-payloads", is_flag=True, help="Show nobody arguments, results and logs.")
@click.option(
    "--root-path",
    default="",
    metavar="/PATH",
    callback=_root,
    help="Where a proxy puts it.",
)
@click.option(
    "--auth-header",
    default="",
    metavar="NAME",
    help="The header in which a proxy names who is logged in; goes with --trust-proxy.",
)
@click.option(
    "--auth-role",
    type=click.Choice(_ROLES),
    default="viewer",
    show_default=True,
    help="What those whom the proxy names may do.",
)
@click.option(
    "--trust-proxy",
    default="",
    metavar="IP,NET/BITS,…",
    help="The proxy: from nobody else is --auth-header believed.",
)
@click.option(
    "--log-link",
    default="",
    metavar="URL",
    callback=_link,
    help="Where the logs of a task are kept, with {task_id} in it: each task's page links there.",
)
@brokers_option
@logging_options
def command(
    listen: str,
    data: str | None,
    token_file: str | None,
    read_only: bool,
    no_payloads: bool,
    root_path: str,
    auth_header: str,
    auth_role: str,
    trust_proxy: str,
    log_link: str,
    brokers: str | None,
) -> None:
    """Show the cluster in a browser.

    What runs, why tasks wait, what failed, who leads. It is a process of its own, and asks the
    brokers once a second for all who look. It also answers /metrics, and /api/v1.
    `raftwork broker --http` starts the same beside a broker.

    \b
    Example:
      raftwork dashboard
      raftwork dashboard --listen 0.0.0.0:7780 --token-file tokens \\
          --key dashboard.key
    """
    if find_spec("uvicorn") is None:
        raise click.ClickException("the dashboard needs more: pip install 'raftwork[web]'")
    from raftwork.broker.options import is_loopback
    from raftwork.client.app import App
    from raftwork.web.access import Role, Rules, Tokens, networks
    from raftwork.web.application import application
    from raftwork.web.server import PATIENCE_S, serve
    from raftwork.web.watch import Watch

    if bool(auth_header) != bool(trust_proxy):
        raise click.UsageError("--auth-header and --trust-proxy go together")
    if not is_loopback(listen) and token_file is None and not auth_header:
        raise click.UsageError(
            f"{listen}: other machines could reach this; --token-file says who may do what"
        )
    with usage():
        rules = Rules(
            tokens=None if token_file is None else Tokens(token_file),
            read_only=read_only,
            no_payloads=no_payloads,
            auth_header=auth_header,
            auth_role=Role[auth_role.upper()],
            trust=networks(trust_proxy),
            root_path=root_path,
        )
        app = App(brokers, timeout=PATIENCE_S)
    leave_when_told()
    start_logging()
    watch = Watch(app.brokers, data=data or "", key=app.key)
    watch.start()
    err(f"dashboard http://{listen}{root_path}/")
    with app:
        serve(application(watch, app, rules, log_link=log_link), listen)
