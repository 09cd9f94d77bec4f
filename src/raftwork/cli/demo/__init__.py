"""`raftwork demo`: a cluster that loses its leader and a worker under load, and what that cost."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from raftwork.broker.options import CONSENSUS
from raftwork.cli.output import err, err_lines, out_table, progress_console
from raftwork.cli.signals import end_by_exception
from raftwork.cli.tables import VERDICT
from raftwork.cli.values import be_nobody
from raftwork.escapes import visible_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from raftwork.cli.demo.run import Counts


@click.command("demo")
@click.option("--tasks", type=click.IntRange(min=20), default=2000, show_default=True, metavar="N")
@click.option("--consensus", type=click.Choice(CONSENSUS), default="raft", show_default=True)
def command(tasks: int, consensus: str) -> None:
    """Kill the leader and a worker; count what was lost.

    Three brokers and two workers run N tasks of 10 ms meanwhile. Everything runs in processes of
    its own in a temporary directory. Exits 1 if anything was lost, an outcome came twice, or a kill
    hit an idle process.

    \b
    Example:
      raftwork demo --tasks 500
    """
    import asyncio

    from raftwork.cli.demo.run import Rehearsal
    from raftwork.testing.processes import LocalCluster

    end_by_exception()
    be_nobody()
    directory = Path(tempfile.mkdtemp(prefix="raftwork-demo-"))
    good = False
    try:
        with LocalCluster(directory, consensus=consensus) as cluster, _display(tasks) as display:
            say, progress = display
            counts = asyncio.run(Rehearsal(cluster, tasks, say=say, progress=progress).run())
            good = counts.good
    except TimeoutError as error:
        raise click.ClickException(str(error)) from error
    finally:
        if good:
            shutil.rmtree(directory)
        else:
            err(f"kept the logs and the data: {directory}")
    _print(counts)
    if not good:
        raise SystemExit(1)


@contextmanager
def _display(tasks: int) -> Iterator[tuple[Callable[[str], None], Callable[[int], None]]]:
    """How to say something and how to show progress: a bar for people, lines for a file."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = progress_console()
    if not console.is_terminal:
        tenth = max(tasks // 10, 1)
        yield err_lines, lambda done: err(f"{done} results") if done % tenth == 0 else None
        return
    columns = (TextColumn("results"), BarColumn(None), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("results", total=tasks)
        yield (
            lambda text: bar.console.print(visible_lines(text)),
            lambda done: bar.update(task, completed=done),
        )


def _print(counts: Counts) -> None:
    rows = (
        ("enqueued", f"{counts.enqueued}"),
        ("acknowledged", f"{counts.acknowledged}"),
        ("results", f"{counts.results}"),
        ("lost", f"{counts.lost}"),
        ("duplicate outcomes", f"{counts.duplicate_outcomes}"),
        ("run more than once", f"{counts.run_more_than_once}"),
        ("longest gap between acknowledgements (s)", f"{counts.longest_gap:.2f}"),
        ("tasks/s", f"{counts.rate:.0f}"),
    )
    out_table(VERDICT, rows)
    for reason in counts.idle_kills:
        err(f"a kill proved nothing: {reason}")
