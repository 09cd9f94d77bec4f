"""`raftwork check …`: questions with yes or no, for scripts and orchestrators."""

from __future__ import annotations

import time
from typing import Final

import click

from raftwork.cli.output import out
from raftwork.cli.values import Seconds, brokers_option
from raftwork.client.addresses import broker_addresses

#: Between two looks, s.
_AGAIN_S: Final = 0.5
_ANSWER_S: Final = 1.0


@click.group("check")
def command() -> None:
    """Ask for yes or no: the exit status is 0 or 1.

    The reason of a no is on stderr.

    \b
    Example:
      raftwork check may-stop b
    """


@command.command("may-stop")
@click.argument("name")
@click.option(
    "--wait",
    type=Seconds(none=True),
    default=0.0,
    metavar="S",
    help="Wait so long for it (default: answer at once).",
)
@brokers_option
def may_stop(name: str, wait: float, brokers: str | None) -> None:
    """Whether the others are enough without the broker NAME: whole, reached, and caught up.

    To be asked before each broker is stopped, as in a rolling restart; with --wait as a container's
    preStop hook.

    \b
    Example:
      raftwork check may-stop b --wait 60 && systemctl restart raftwork-broker@b
    """
    from raftwork.client.cluster_status import gather
    from raftwork.client.may_stop import by_name, objection

    addresses = broker_addresses(brokers)
    until = time.monotonic() + wait
    while True:
        found = by_name(gather(addresses, _ANSWER_S, follow=True).statuses)
        if not found:
            why = (
                f"no broker answers at {', '.join(map(str, addresses))}: start one, or name"
                " others with --brokers"
            )
        elif name not in found:
            raise click.UsageError(f"there is no broker {name!r}; there are {', '.join(found)}")
        else:
            why = objection(name, found) or ""
        if not why:
            out(f"{name} may be stopped")
            return
        if time.monotonic() >= until:
            raise click.ClickException(why)
        time.sleep(_AGAIN_S)
