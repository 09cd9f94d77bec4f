"""`raftwork worker`: runs the tasks of an App."""

import click

from raftwork.cli.init import divide_process_one
from raftwork.cli.logging_options import logging_options, start_logging
from raftwork.cli.signals import leave_when_told
from raftwork.cli.values import Seconds, brokers_option, parse_size, usage
from raftwork.client.addresses import broker_addresses
from raftwork.client.options import label, queue_name
from raftwork.logs import speak_on
from raftwork.messages import NAME_MAX, QUEUES_MAX
from raftwork.streams import by_line, fill, let_go


def _queues(ctx: click.Context, option: click.Parameter, value: str) -> list[str]:
    queues = [part.strip() for part in value.split(",")]
    if not all(queues) or len(set(queues)) < len(queues):
        raise click.BadParameter("one or more different names, comma-separated", ctx, option)
    if len(queues) > QUEUES_MAX:
        text = f"{len(queues)} queues; a worker may serve {QUEUES_MAX}"
        raise click.BadParameter(text, ctx, option)
    with usage():
        return [queue_name(queue) for queue in queues]


def _name(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    if not value.isprintable():
        raise click.BadParameter(f"{value!r} is not printable", ctx, option)
    with usage():
        return label("name", value, NAME_MAX)


def _target(ctx: click.Context, argument: click.Parameter, value: str) -> str:
    from raftwork.worker.loader import LoadError, parse_target

    try:
        parse_target(value)
    except LoadError as error:
        raise click.BadParameter(str(error), ctx, argument) from None
    return value


def _bytes(ctx: click.Context, option: click.Parameter, value: str | None) -> int:
    if value is None:
        return 0
    try:
        return parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, option) from None


@click.command("worker")
@click.argument("target", metavar="MODULE:APP", callback=_target)
@brokers_option
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="Tasks run at once (default: one per usable CPU).",
)
@click.option(
    "--pool",
    type=click.Choice(["process", "thread", "async"]),
    default="process",
    show_default=True,
    help="What runs the tasks: child processes, threads, or one event loop.",
)
@click.option(
    "--queues",
    default="default",
    show_default=True,
    callback=_queues,
    metavar="a,b",
    help="The queues to take tasks from.",
)
@click.option(
    "--max-tasks-per-child",
    type=click.IntRange(min=1),
    metavar="N",
    help="Replace a process of the pool after so many tasks.",
)
@click.option(
    "--max-memory-per-child",
    callback=_bytes,
    metavar="SIZE",
    help="Replace a process of the pool that had more resident: bytes, or as 300MiB.",
)
@click.option(
    "--grace",
    type=Seconds(none=True),
    metavar="S",
    help="Stop at once when tasks still run so many seconds after SIGTERM (default: wait).",
)
@click.option("--name", callback=_name, help="Shown in `raftwork status` (default: HOST-PID).")
@logging_options
def command(
    target: str,
    brokers: str | None,
    concurrency: int | None,
    pool: str,
    queues: list[str],
    max_tasks_per_child: int | None,
    max_memory_per_child: int,
    grace: float | None,
    name: str | None,
) -> None:
    """Run the tasks of an App.

    It is called APP in MODULE, which is imported from the current directory or the path.

    SIGTERM or SIGINT: take nothing new, hand back what has not started, finish what runs. A second
    one, or the end of --grace, stops at once, and the tasks go back to the queue.

    \b
    Example:
      raftwork worker tasks:app --concurrency 8 --queues default,mail
    """
    leave_when_told()
    divide_process_one()
    start_logging()
    from raftwork import App
    from raftwork.worker import LoadError, Recycling, load, run_worker

    recycling = Recycling(max_tasks_per_child or 0, max_memory_per_child)
    if pool != "process" and any(recycling):
        raise click.UsageError("only the process pool has children to replace")
    try:
        app = load(target)
    except LoadError as error:
        raise click.ClickException(str(error)) from error
    fill()  # what the module closed
    by_line()
    speak_on()  # and what it silenced
    addresses = broker_addresses(brokers or getattr(app, "brokers", None))
    if isinstance(app, App):
        app.brokers = addresses  # what its tasks enqueue goes to where they came from
    code = run_worker(
        app.tasks,
        brokers=addresses,
        concurrency=concurrency,
        pool=pool,
        queues=queues,
        name=name,
        app_target=target,
        recycling=recycling,
        hooks=app.hooks if isinstance(app, App) else None,
        grace=grace,
    )
    let_go()
    raise SystemExit(code)
