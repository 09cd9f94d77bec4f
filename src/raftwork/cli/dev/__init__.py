"""`raftwork dev`: a broker and a worker for one who writes tasks, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click

from raftwork.addresses import parse_address
from raftwork.cli.output import labelled
from raftwork.cli.values import usage
from raftwork.client.addresses import DEFAULT_BROKERS, broker_addresses
from raftwork.client.options import queue_name
from raftwork.errors import LoadError


def _target(ctx: click.Context, argument: click.Parameter, value: str) -> str:
    from raftwork.worker.loader import parse_target

    try:
        parse_target(value)
    except LoadError as error:
        raise click.BadParameter(str(error), ctx, argument) from None
    return value


def _queues(_ctx: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        with usage():
            for name in value.split(","):
                queue_name(name.strip())
    return value


def _address(port: int | None) -> str:
    """Where the broker listens: where programs here look for one."""
    from raftwork.broker.options import is_loopback

    if port is not None:
        return f"127.0.0.1:{port}"
    with usage():
        found = broker_addresses(None)[0]
        parse_address(found)
    if not is_loopback(found):
        first = DEFAULT_BROKERS.partition(",")[0]
        raise click.UsageError(
            f"RAFTWORK_BROKERS names {found}, and dev starts a broker on this machine only: unset"
            f" it, or say RAFTWORK_BROKERS={first}, for your programs, too"
        )
    return found


def _say(line: str) -> None:
    labelled("dev", "green", line)


@click.command("dev")
@click.argument("app", metavar="MODULE:APP", callback=_target)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    help="The broker's port on 127.0.0.1 (default: that of $RAFTWORK_BROKERS, then 7701).",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".raftwork"),
    show_default=True,
    metavar="DIR",
    help="The broker's directory: tasks in it survive a restart.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="Tasks run at once (default: one per usable CPU).",
)
@click.option(
    "--pool",
    type=click.Choice(["process", "thread", "async"]),
    default="process",
    show_default=True,
    help="What runs the tasks, as for `raftwork worker`.",
)
@click.option(
    "--queues",
    metavar="a,b",
    callback=_queues,
    help="The queues to take tasks from (default: `default`, and those that tasks name).",
)
@click.option(
    "--watch",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    metavar="DIR",
    help="Where a changed .py file restarts the worker; may be repeated (default: here).",
)
def command(
    app: str,
    port: int | None,
    data: Path,
    concurrency: int | None,
    pool: str,
    queues: str | None,
    watch: tuple[Path, ...],
) -> None:
    """Try an App: a broker, and a worker that edits restart.

    The broker keeps its tasks in .raftwork/. What both log comes here, with names in front. Ctrl-C
    ends all; a second one does so at once.

    Watching files needs the extra `dev`: pip install 'raftwork[dev]'.

    \b
    Example:
      raftwork dev tasks:app
    """
    from raftwork.cli.dev.parts import broker, dashboard, worker
    from raftwork.cli.dev.place import Place, Taken
    from raftwork.cli.dev.supervisor import Supervisor

    address = _address(port)
    try:
        with Place(data, address):
            flags = ["--pool", pool]
            flags += ["--concurrency", str(concurrency)] if concurrency else []
            flags += ["--queues", queues] if queues else []
            shown = dashboard(address)
            where = f"http://{shown.address}/" if shown.address else f"none: {shown.why}"
            _say(f"dashboard {where}")
            parts = broker(address, data, shown.address), worker(app, address, flags)
            code = Supervisor(*parts, watched=watch or (Path(),), say=_say).run()
    except Taken as taken:
        raise click.ClickException(str(taken)) from None
    raise SystemExit(code)
