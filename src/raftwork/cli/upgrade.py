"""`raftwork upgrade`: which release each broker is of, and the cluster's level."""

from __future__ import annotations

import click

from raftwork.cli.cluster import Cluster, asks
from raftwork.cli.output import err, out, out_table
from raftwork.cli.tables import Column, Overflow
from raftwork.cli.values import brokers_option, json_option, patience_option, print_json
from raftwork.client.overview import Overview, observe, unraised
from raftwork.release import Levels

_COLUMNS = (
    Column("broker"),
    Column("address", 3, Overflow.WHOLE),
    Column("raftwork"),
    Column("runs"),
    Column("level", right=True),
    Column("why", 6, Overflow.WRAPPED),
)


@click.group("upgrade")
def command() -> None:
    """Bring a cluster to a new release, without stopping it.

    Start the brokers with the new release one after the other, then the workers and the programs
    that enqueue. Until `finish` each may go back to the release before.

    \b
    Example:
      raftwork upgrade status
      raftwork upgrade finish
    """


@command.command("status")
@json_option
@patience_option
@brokers_option
def status_command(as_json: bool, timeout: float, brokers: str | None) -> None:
    """Show every broker's release, the levels it runs, and the cluster's level.

    Exits 1 without a leader.

    \b
    Example:
      raftwork upgrade status --json | jq .level
    """
    seen = observe(brokers, timeout)
    if as_json:
        print_json(_document(seen))
    else:
        _print(seen)
    if seen.leader is None:
        raise click.ClickException(seen.headless())


@command.command("finish")
@asks
def finish_command(cluster: Cluster) -> None:
    """Raise the cluster to the highest level of the leader's release, for good.

    Refused unless every broker answers the leader and runs that level. From then on no broker can
    go back to a release that does not run it.

    \b
    Example:
      raftwork upgrade finish
    """
    from raftwork.messages import FinishUpgrade, UpgradeFinished

    answer = cluster.app.call(FinishUpgrade(0), UpgradeFinished).result()
    if answer.before == answer.level:
        err(f"nothing to raise: level {answer.level} is the highest that the leader's release runs")
    else:
        err(f"raised from level {answer.before} to level {answer.level}")


def _level(seen: Overview) -> int | None:
    """The highest that any broker has applied; None if none answers."""
    return max((row.status.level for row in seen.brokers if row.status), default=None)


def _document(seen: Overview) -> dict[str, object]:
    return {
        "level": _level(seen),
        "raisable": bool(unraised(seen)),
        "brokers": [
            {
                "name": row.name,
                "address": row.address,
                "release": row.status.release if row.status else None,
                "levels": list(row.status.levels) if row.status else None,
                "level": row.status.level if row.status else None,
                "reason": row.reason or None,
            }
            for row in seen.brokers
        ],
    }


def _print(seen: Overview) -> None:
    rows = []
    for row in seen.brokers:
        facts = ("unreachable", "–", "–")
        if status := row.status:
            facts = (status.release, str(Levels(*status.levels)), str(status.level))
        rows.append((row.name, row.address, *facts, row.reason))
    level = _level(seen)
    out("no broker answers" if level is None else f"level {level}")
    out("")
    out_table(_COLUMNS, rows)
    for text in unraised(seen):
        err(text)
