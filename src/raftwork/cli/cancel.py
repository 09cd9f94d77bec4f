"""`raftwork cancel`: end tasks."""

import click

from raftwork.cli.cluster import Cluster, Shown, shows
from raftwork.cli.output import out
from raftwork.cli.values import Seconds
from raftwork.client.cancelling import GRACE_S


def _tag(ctx: click.Context, option: click.Parameter, value: str | None) -> tuple[str, str] | None:
    if value is None:
        return None
    key, separator, rest = value.partition("=")
    if not (key and separator and rest):
        raise click.BadParameter(f"{value!r} is not KEY=VALUE", ctx, option)
    return key, rest


@click.command("cancel")
@click.argument("ids", nargs=-1, metavar="[ID]…")
@click.option("--name", metavar="N", help="All tasks of this name.")
@click.option("--queue", metavar="Q", help="All tasks of this queue.")
@click.option("--tag", metavar="K=V", callback=_tag, help="All tasks with this tag.")
@click.option("--flow", metavar="ID", help="All tasks of this flow.")
@click.option("--all", "everything", is_flag=True, help="All tasks of the cluster.")
@click.option(
    "--grace",
    type=Seconds(none=True),
    default=GRACE_S,
    show_default=True,
    metavar="S",
    help="Seconds that code which runs has to end.",
)
@shows
def command(
    cluster: Cluster,
    ids: tuple[str, ...],
    name: str | None,
    queue: str | None,
    tag: tuple[str, str] | None,
    flow: str | None,
    everything: bool,
    grace: float,
) -> Shown:
    """End tasks, and print how many were ended or asked to end.

    What has not begun is cancelled at once. The code of what runs is asked to end: a coroutine is
    cancelled, other code finds it by current().cancelled. After the grace the task is cancelled
    whatever its code does, and a process that runs it is killed. No task that was cancelled is
    handed out again.

    Give ids, or exactly one of --name, --queue, --tag, --flow and --all. Exits 1 if the only id is
    not known.

    \b
    Example:
      raftwork cancel 0195f2d4-8a4e-7e30-9b1a-3f4f0c1d2e5b --grace 2
      raftwork cancel --queue bulk --json
    """
    given = [each for each in (ids or None, name, queue, tag, flow) if each is not None]
    if len(given) + everything != 1:
        raise click.UsageError("give ids, or exactly one of --name, --queue, --tag, --flow, --all")
    cancelled = cluster.app.cancel(
        ids=ids or None, name=name, queue=queue, tag=tag, flow=flow, all=everything, grace=grace
    )
    return Shown({"cancelled": cancelled}, lambda: out(str(cancelled)))
