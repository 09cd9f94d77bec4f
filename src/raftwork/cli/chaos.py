"""`raftwork chaos`: faults under load, then the verdict."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from raftwork.broker.options import CONSENSUS
from raftwork.cli.output import err, err_lines, out_table
from raftwork.cli.signals import end_by_exception
from raftwork.cli.tables import VERDICT
from raftwork.cli.values import Seconds, be_nobody, brokers_option, json_option, print_json

if TYPE_CHECKING:
    from raftwork.chaos.processes import Brokers
    from raftwork.chaos.run import Plan, Report

_BROKERS = ("leader", "follower", "random")
#: Of each kind of finding, on stderr.
FINDINGS_SHOWN = 10
_SECONDS = Seconds()
_RATE = click.FloatRange(0, 1_000_000, min_open=True)


@click.command("chaos")
@click.option(
    "--kill",
    multiple=True,
    type=click.Choice(["leader", "follower", "worker", "client", "random", "all"]),
    help="SIGKILL, and start it again later; random: any broker, all: every broker at once.",
)
@click.option(
    "--pause",
    multiple=True,
    type=click.Choice([*_BROKERS, "worker", "client"]),
    help="SIGSTOP, and SIGCONT later.",
)
@click.option(
    "--partition",
    multiple=True,
    type=click.Choice(_BROKERS),
    help="Cut a broker off from the others, in one direction or both.",
)
@click.option(
    "--lossy", multiple=True, type=click.Choice(_BROKERS), help="Lose a fifth of the packets."
)
@click.option("--every", type=_SECONDS, default=5.0, show_default=True, metavar="S")
@click.option("--for", "duration", type=_SECONDS, default=60.0, show_default=True, metavar="S")
@click.option("--lasting", type=_SECONDS, default=1.5, show_default=True, metavar="S")
@click.option("--rate", type=_RATE, default=150.0, show_default=True, help="Tasks per second.")
@click.option("--consensus", type=click.Choice(CONSENSUS), default="raft", show_default=True)
@brokers_option
@click.option(
    "--data",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Attack the running cluster whose brokers' directories are in DIR, not one of its own.",
)
@json_option
def command(
    kill: tuple[str, ...],
    pause: tuple[str, ...],
    partition: tuple[str, ...],
    lossy: tuple[str, ...],
    every: float,
    duration: float,
    lasting: float,
    rate: float,
    consensus: str,
    brokers: str | None,
    data: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Faults under load, then whether any promise was broken.

    There is one every S seconds, and each lasts a while. Faults given more than once, or of several
    kinds, take turns at random. The load comes from clients and workers of its own. Exits 1 if
    anything acknowledged was lost or any other promise was broken. Linux only; --partition and
    --lossy need the rights of a debugger over the brokers.

    \b
    Example:
      raftwork chaos --kill leader --every 5 --for 60
      raftwork chaos --kill random --pause leader --partition random
      raftwork chaos --kill leader --data /var/lib/raftwork  # one that runs
    """
    from raftwork.chaos.nemesis import Fault
    from raftwork.chaos.run import Plan

    faults = [
        *(Fault("kill", role) for role in kill),
        *(Fault("pause", role) for role in pause),
        *(Fault("partition", role) for role in partition),
        *(Fault("lossy", role) for role in lossy),
    ]
    if not faults:
        raise click.UsageError("give at least one of --kill, --pause, --partition and --lossy")
    if brokers and not data:
        raise click.UsageError("--brokers needs --data, to find the processes")
    plan = Plan(faults=faults, every=every, lasting=lasting, duration=duration, rate=rate)
    end_by_exception()
    directory = Path(tempfile.mkdtemp(prefix="raftwork-chaos-"))
    good = False
    try:
        with _cluster(directory, data, brokers, consensus) as members:
            report = _run(members, directory, plan, ours=not data)
        good = report.good
    except (TimeoutError, PermissionError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    finally:
        if good or not any(directory.iterdir()):  # nothing was begun
            shutil.rmtree(directory)
        else:
            err(f"kept the histories and the logs: {directory}")
    _show(report, as_json=as_json)
    if not good:
        raise SystemExit(1)


def _run(members: Brokers, directory: Path, plan: Plan, *, ours: bool) -> Report:
    from raftwork.chaos.run import Trial

    trial = Trial(members, directory, plan, err_lines)
    try:
        return trial.run()
    finally:
        if ours:
            trial.close()


@contextmanager
def _cluster(
    directory: Path, data: tuple[Path, ...], brokers: str | None, consensus: str
) -> Iterator[Brokers]:
    from raftwork.chaos.processes import Brokers
    from raftwork.chaos.run import own_cluster

    if not data:
        be_nobody()
        with own_cluster(directory, consensus) as members:
            yield members
        return
    members = Brokers(data)
    if brokers and set(brokers.split(",")) != set(members.addresses.values()):
        raise ValueError(f"the brokers of {', '.join(map(str, data))} are {members.text}")
    yield members


def _show(report: Report, *, as_json: bool) -> None:
    from raftwork.chaos.report import document, rows

    if as_json:
        print_json(document(report))
    else:
        out_table(VERDICT, list(rows(report)))
    for trouble in report.troubles:
        err(f"trouble: {trouble}")
    for name, findings in report.verdict.findings.items():
        for text in findings[:FINDINGS_SHOWN]:
            err(f"{name}: {text}")
