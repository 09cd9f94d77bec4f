"""`raftwork doctor`: what is wrong, or will be, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import click

from raftwork.cli.output import out
from raftwork.cli.values import brokers_option, json_option, patience_option, print_json
from raftwork.client.addresses import broker_addresses


@click.command("doctor")
@click.option(
    "--data",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="DIR",
    help="Look at this machine, too, for a broker with this directory.",
)
@click.option(
    "--broker-key",
    type=click.Path(dir_okay=False, exists=True),
    metavar="FILE",
    help="… and at that broker's key file.",
)
@patience_option
@brokers_option
@json_option
def command(
    data: Path | None,
    broker_key: str | None,
    timeout: float,
    brokers: str | None,
    as_json: bool,
) -> None:
    """Find what is wrong with the cluster, or this machine.

    Each finding has a name that stays, a severity (ok, warning, error), a sentence and what to do.
    Exits 1 if there is an error. With --data a thousand blocks are written into the directory to
    measure the disk, which takes some seconds.

    \b
    Example:
      raftwork doctor --data /var/lib/raftwork/a
      raftwork doctor --json | jq '.[] | select(.severity != "ok")'
    """
    from raftwork.client.cluster_status import gather
    from raftwork.client.may_stop import by_name
    from raftwork.doctor import cluster, machine
    from raftwork.doctor.finding import Finding, Severity, error

    found: list[Finding] = [] if data is None else machine.look(data, broker_key)
    statuses = by_name(gather(broker_addresses(brokers), timeout, follow=True).statuses)
    if statuses:
        found += cluster.look(statuses)
    else:
        found.append(error("brokers", "no broker answers", "are they running, and at --brokers?"))
    if as_json:
        print_json([each._asdict() for each in found])
    else:
        for each in found:
            out(f"{each.severity:<8} {each.id:<15} {each.text}")
            if each.remedy:
                out(f"{'':<24} → {each.remedy}")
    if any(each.severity is Severity.ERROR for each in found):
        raise SystemExit(1)
