"""Faults by hand, on brokers and workers that run on this machine: see tests/chaos/*.sh.

Every process is identified before it is signalled: a broker holds the lock of its directory, a
worker is listed by the cluster's leader and connected to a broker. A killed process is started
again with the command line, environment and outputs it had, unless told otherwise; if its
supervisor is quicker, the second one finds the directory open and ends.
"""

import os
import signal
import time
from pathlib import Path
from random import Random
from typing import NoReturn

import click

from raftwork.chaos.history import Healed, Struck, line
from raftwork.chaos.nemesis import KINDS, ROLES, Fault, Kind, Nemesis, NoVictim, Reviver
from raftwork.chaos.processes import Brokers, open_workers

_SECONDS = click.FloatRange(min=0, min_open=True)


@click.command("strike")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("role", metavar="ROLE")
@click.argument(
    "directories",
    metavar="DIR…",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option("--every", type=_SECONDS, metavar="S", help="Again and again.")
@click.option("--for", "duration", type=_SECONDS, metavar="S", help="No longer than this.")
@click.option(
    "--lasting",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Until the fault ends: a killed process is started again.",
)
@click.option("--stay-dead", is_flag=True, help="Whoever is killed is not started again.")
def command(
    kind: Kind,
    role: str,
    directories: tuple[Path, ...],
    every: float | None,
    duration: float | None,
    lasting: float,
    stay_dead: bool,
) -> None:
    """Strike processes of the cluster whose brokers' data directories are in DIR.

    Each fault's begin and end is a line on stdout: when (monotonic seconds), what, which process.
    """
    if role not in ROLES[kind]:
        raise click.UsageError(f"{kind}: must be one of {', '.join(ROLES[kind])}, got {role!r}")
    if duration is not None and every is None:
        raise click.UsageError("--for needs --every")
    signal.signal(signal.SIGTERM, _leave)  # so that faults end, too
    try:
        brokers = Brokers(directories)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    reviver = Reviver(stay_dead=stay_dead)
    workers = {"worker": lambda: [reviver.victim(process) for process in open_workers(brokers)]}
    nemesis = Nemesis(brokers, workers, reviver, _say, Random())
    end = time.monotonic() + (duration or 0.0)
    while True:
        due = time.monotonic() + (every or 0.0)
        try:
            nemesis.strike(Fault(kind, role), lasting)
        except (NoVictim, PermissionError, TimeoutError) as error:
            raise click.ClickException(str(error)) from error
        if every is None or (duration is not None and due >= end):
            return
        time.sleep(max(0.0, due - time.monotonic()))


def _say(event: Struck | Healed) -> None:
    click.echo(line(event), nl=False)


def _leave(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    command(prog_name=os.environ.get("STRIKE_USAGE"))
