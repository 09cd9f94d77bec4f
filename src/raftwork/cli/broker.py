"""`raftwork broker`: one replica of a cluster."""

from pathlib import Path

import click

from raftwork import logs
from raftwork.broker.options import CONSENSUS, BrokerOptions, parse_cluster
from raftwork.broker.placement.balancers import BALANCERS
from raftwork.cli.logging_options import logging_options, start_logging
from raftwork.cli.signals import leave_when_told


def _cluster(ctx: click.Context, option: click.Parameter, value: str) -> dict[str, str]:
    try:
        return parse_cluster(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, option) from None


def _data(ctx: click.Context, option: click.Parameter, value: str) -> Path:
    if not value:  # as from a variable that is not set; Path would make it the current directory
        raise click.BadParameter("it is empty; give a directory", ctx, option)
    return Path(value)


@click.command("broker")
@click.option("--name", required=True, help="This broker's name in --cluster.")
@click.option(
    "--cluster",
    required=True,
    metavar="NAME=HOST:PORT,…",
    callback=_cluster,
    help="Every broker of the cluster; one alone is a valid cluster.",
)
@click.option(
    "--data",
    required=True,
    type=click.Path(file_okay=False),
    callback=_data,
    metavar="DIR",
    help="The replica's directory, made with its parents.",
)
@click.option(
    "--consensus",
    type=click.Choice(CONSENSUS),
    default="raft",
    show_default=True,
    help="How the brokers agree; the same for all of them, and for good.",
)
@click.option(
    "--balancer",
    type=click.Choice(list(BALANCERS)),
    default="weighted",
    show_default=True,
    metavar="NAME",
    help=f"How tasks are given to workers: {', '.join(BALANCERS)}.",
)
@click.option(
    "--insecure",
    is_flag=True,
    help="Allow addresses that other machines can reach: frames are not authenticated.",
)
@click.option(
    "--readdress",
    is_flag=True,
    help="Accept that brokers have other addresses in --cluster than this directory knows.",
)
@click.option(
    "--checksums/--no-checksums",
    default=True,
    show_default=True,
    help="Whether the database of a new directory has page checksums.",
)
@logging_options
def command(
    name: str,
    cluster: dict[str, str],
    data: Path,
    consensus: str,
    balancer: str,
    insecure: bool,
    readdress: bool,
    checksums: bool,
) -> None:
    """Run one replica of a cluster.

    SIGTERM or SIGINT end it; a leader hands leadership over first.

    \b
    Example:
      raftwork broker --name a --data /var/lib/raftwork/a \\
          --cluster a=127.0.0.1:7701,b=127.0.0.1:7702,c=127.0.0.1:7703
    """
    try:
        options = BrokerOptions(
            name=name,
            cluster=cluster,
            data=data,
            consensus=consensus,
            balancer=balancer,
            insecure=insecure,
            readdress=readdress,
            checksums=checksums,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None

    leave_when_told()
    start_logging()
    logs.speak_for(name)
    import zmq

    from raftwork.broker.server import run_broker

    try:
        code = run_broker(options)
    except zmq.ZMQError as error:
        raise click.ClickException(f"{options.address}: {error}") from error
    except OSError as error:
        # One of the system's may name no file; one of ours says everything.
        where = f"{data}: " if error.errno is not None and error.filename is None else ""
        raise click.ClickException(f"{where}{error}") from error
    raise SystemExit(code)
