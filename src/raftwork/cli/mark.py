"""`raftwork mark`: a line beside the charts and elections, such as for a deployment."""

import click

from raftwork.cli.cluster import Cluster, asks


@click.command("mark")
@click.argument("text")
@asks
def command(cluster: Cluster, text: str) -> None:
    """Mark this moment, such as a deployment.

    It stands in the dashboard's charts and elections, and among the events. Every broker keeps the
    newest thousand. At most 200 characters.

    \b
    Example:
      raftwork mark "deploy shop 2.7.1"
      raftwork events --kind marked
    """
    cluster.app.cluster.mark(text)
