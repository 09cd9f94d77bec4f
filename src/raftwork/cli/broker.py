"""`raftwork broker`: one replica of a cluster."""

import dataclasses
from pathlib import Path
from typing import Final, TypedDict, Unpack

import click

from raftwork import logs
from raftwork.broker.options import (
    CONSENSUS,
    DISK_RESERVE_BYTES,
    ELECTION_TIMEOUT_MAX_MS,
    ELECTION_TIMEOUT_MIN_MS,
    HEARTBEAT_MIN_MS,
    BrokerConfig,
    parse_cluster,
)
from raftwork.broker.placement.balancers import BALANCERS
from raftwork.cli.assertions_required import require_assertions
from raftwork.cli.configuration import PAIRS, SIZE, Configured, checked, config_options
from raftwork.cli.listening import check_http, check_listen
from raftwork.cli.logging_options import logging_options, logging_values, start_logging
from raftwork.cli.signals import leave_when_told, put_off_hangup
from raftwork.cli.uncollected import uncollected
from raftwork.cli.values import Seconds, parse_size, read_key_file
from raftwork.keys import Key

#: With all else that a stop takes it stays below five seconds.
HAND_OVER_MAX_S: Final = 4
MIB: Final = 1024 * 1024


class _AsGiven(TypedDict):
    """Options that go into a BrokerConfig as they are."""

    name: str
    cluster: dict[str, str]
    data: Path
    http_tokens: Path | None
    http_key: Path | None
    consensus: str
    balancer: str
    insecure: bool
    key: Key | None
    access: Path | None
    readdress: bool
    checksums: bool
    event_bytes: int


def _cluster(ctx: click.Context, option: click.Parameter, value: str) -> dict[str, str]:
    try:
        return parse_cluster(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, option) from None


def _bytes(ctx: click.Context, option: click.Parameter, value: str) -> int:
    try:
        return parse_size(value) if value != "0" else 0
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, option) from None


def _data(ctx: click.Context, option: click.Parameter, value: str) -> Path:
    if not value:  # as from a variable that is not set; Path would make it the current directory
        raise click.BadParameter("must not be empty: name a directory", ctx, option)
    return Path(value)


@click.command("broker", cls=Configured, context_settings={"auto_envvar_prefix": "RAFTWORK_BROKER"})
@click.option("--name", required=True, help="This broker's name in --cluster.")
@click.option(
    "--cluster",
    required=True,
    type=PAIRS,
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
    "--listen",
    metavar="HOST:PORT",
    callback=check_listen,
    help="Where to listen, such as 0.0.0.0:7701 (default: the address in --cluster).",
)
@click.option(
    "--http",
    metavar="HOST:PORT",
    callback=check_http,
    help="Have a child process serve health, metrics and the dashboard there: raftwork[web].",
)
@click.option(
    "--http-tokens",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE",
    help="Who may see that dashboard; beyond loopback it is not served without one.",
)
@click.option(
    "--http-key",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE",
    help="The key (reader or admin) with which it asks the leader, where brokers want keys.",
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
    "--key",
    type=click.Path(dir_okay=False),
    callback=read_key_file,
    metavar="FILE",
    help="This broker's key, as `raftwork keys new` makes it; goes with --access.",
)
@click.option(
    "--access",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The keys that are let in, and what each is for; read again on SIGHUP.",
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
@click.option(
    "--disk-reserve",
    type=click.IntRange(min=0),
    default=DISK_RESERVE_BYTES // MIB,
    show_default=True,
    metavar="MIB",
    help="With less room on the disk of --data it takes no new tasks; 0: it does not look.",
)
@click.option(
    "--election-timeout",
    type=Seconds(least=ELECTION_TIMEOUT_MIN_MS / 1_000, most=ELECTION_TIMEOUT_MAX_MS / 1_000),
    metavar="S",
    help="A leader that is silent for so long is replaced (default: what the cluster has set).",
)
@click.option(
    "--heartbeat-interval",
    type=Seconds(least=HEARTBEAT_MIN_MS / 1_000, most=ELECTION_TIMEOUT_MAX_MS / 1_000),
    metavar="S",
    help="How often a leader speaks (default: a tenth of that; with Zab a fifteenth).",
)
@click.option(
    "--hand-over-timeout",
    type=Seconds(none=True, most=HAND_OVER_MAX_S),
    default=2.0,
    show_default=True,
    metavar="S",
    help="A broker that is stopped waits so long for another one to lead.",
)
@click.option(
    "--slow-turn",
    type=Seconds(),
    default=0.2,
    show_default=True,
    metavar="S",
    help="Log whenever disk or CPU held this broker up for so long.",
)
@click.option(
    "--event-bytes",
    type=SIZE,
    callback=_bytes,
    default="64MiB",
    show_default=True,
    metavar="SIZE",
    help="Keep so much of what happened, for `raftwork events`: bytes, or as 64MiB; 0 is none.",
)
@config_options
@logging_options
def command(
    listen: str | None,
    http: str | None,
    disk_reserve: int,
    election_timeout: float | None,
    heartbeat_interval: float | None,
    hand_over_timeout: float,
    slow_turn: float,
    **as_given: Unpack[_AsGiven],
) -> None:
    """Run one replica of a cluster.

    SIGTERM or SIGINT end it; a leader hands over first. SIGHUP has it read --access again.

    Each option may also be a key of [broker] in the file of --config, or a variable: --data is
    $RAFTWORK_BROKER_DATA. Brokers of one cluster should agree on --election-timeout and
    --heartbeat-interval.

    \b
    Example:
      raftwork broker --name a --data /var/lib/raftwork/a \\
          --cluster a=127.0.0.1:7701,b=127.0.0.1:7702,c=127.0.0.1:7703
    """
    try:
        config = BrokerConfig(
            **as_given,
            listen=listen or "",
            http=http or "",
            disk_reserve=disk_reserve * MIB,
            election_timeout=_ms(election_timeout or 0),
            heartbeat_interval=_ms(heartbeat_interval or 0),
            hand_over_timeout=_ms(hand_over_timeout),
            slow_turn=_ms(slow_turn),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    require_assertions()
    if checked(_shown(config) | logging_values()):
        return
    _run(config)


def _ms(seconds: float) -> int:
    """At least one where it is more than none: that would be the default."""
    return max(round(seconds * 1_000), int(seconds > 0))


def _shown(config: BrokerConfig) -> dict[str, object]:
    """Each option's value, as it is used and as it would be typed."""
    values: dict[str, object] = {
        field.name: getattr(config, field.name) for field in dataclasses.fields(config)
    }
    for name in ("hand_over_timeout", "slow_turn"):
        values[name] = getattr(config, name) / 1_000
    values["disk_reserve"] = config.disk_reserve // MIB
    values["listen"], values["http"] = config.bound, config.http or None
    values["key"] = config.key and config.key.file
    own = config.election_timeout or config.heartbeat_interval  # else all is as the cluster has it
    values["election_timeout"] = config.election_timeout / 1_000 or None
    values["heartbeat_interval"] = config.timing().heartbeat_interval / 1_000 if own else None
    return values


def _run(config: BrokerConfig) -> None:
    leave_when_told()
    put_off_hangup()
    start_logging()
    logs.speak_for(config.name)
    with uncollected():
        import zmq

        from raftwork.broker.server import run_broker

    try:
        code = run_broker(config)
    except zmq.ZMQError as error:
        raise click.ClickException(f"{config.bound}: {error}") from error
    except OSError as error:
        # One of the system's may name no file; one of ours says everything.
        where = f"{config.data}: " if error.errno is not None and error.filename is None else ""
        raise click.ClickException(f"{where}{error}") from error
    raise SystemExit(code)
