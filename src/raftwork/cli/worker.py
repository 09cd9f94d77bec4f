"""`raftwork worker`: runs the tasks of an App."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypedDict, Unpack

import click
from click.core import ParameterSource

from raftwork.cli.assertions_required import require_assertions
from raftwork.cli.configuration import NAMES, SIZE, Configured, checked, config_options
from raftwork.cli.container_init import divide_process_one
from raftwork.cli.listening import check_http
from raftwork.cli.logging_options import logging_options, logging_values, start_logging
from raftwork.cli.signals import leave_when_told
from raftwork.cli.uncollected import uncollected
from raftwork.cli.values import Seconds, check_addresses, parse_size, read_key_file, usage
from raftwork.client.addresses import broker_addresses
from raftwork.client.options import label, queue_name
from raftwork.errors import LoadError
from raftwork.keys import Key
from raftwork.logs import speak_on
from raftwork.messages import NAME_MAX, QUEUES_MAX
from raftwork.standard_streams import by_line, fill, let_go

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork import App
    from raftwork.features.schedule_records import DeclareSchedules


class _AsGiven(TypedDict):
    """Options that go to `run_worker` as they are."""

    concurrency: int | None
    pool: str
    queues: list[str]
    grace: float | None
    capture_output: bool
    http: str | None
    name: str | None


def _queues(ctx: click.Context, option: click.Parameter, value: str) -> list[str]:
    queues = [part.strip() for part in value.split(",")]
    if not all(queues) or len(set(queues)) < len(queues):
        raise click.BadParameter("must be one or more distinct names, comma-separated", ctx, option)
    if len(queues) > QUEUES_MAX:
        text = f"must name at most {QUEUES_MAX} queues, got {len(queues)}"
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
    from raftwork.worker.loader import parse_target

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


@click.command("worker", cls=Configured, context_settings={"auto_envvar_prefix": "RAFTWORK_WORKER"})
@click.argument("app", metavar="MODULE:APP", envvar="RAFTWORK_WORKER_APP", callback=_target)
@click.option(
    "--brokers",
    type=NAMES,
    envvar="RAFTWORK_BROKERS",
    allow_from_autoenv=False,
    metavar="HOST:PORT,…",
    callback=check_addresses,
    help="The brokers' addresses (default: the App's, then $RAFTWORK_BROKERS, then --config's, "
    "then 127.0.0.1:7701 to 7703).",
)
@click.option(
    "--key",
    type=click.Path(dir_okay=False),
    envvar="RAFTWORK_KEY",
    allow_from_autoenv=False,
    callback=read_key_file,
    metavar="FILE",
    help="Who this worker is, where brokers have keys (default: the App's key).",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="Tasks run at once (default: one per usable CPU).",
)
@click.option(
    "--pool",
    type=click.Choice(["process", "thread", "async", "executor"]),
    default="process",
    show_default=True,
    help="What runs the tasks: child processes, threads, one event loop, or what --executor names.",
)
@click.option(
    "--executor",
    metavar="MODULE:FUNCTION",
    help="What makes the executor of --pool executor: any of concurrent.futures.",
)
@click.option(
    "--queues",
    type=NAMES,
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
    type=SIZE,
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
@click.option(
    "--pickle",
    is_flag=True,
    help="Let executors have any function called here, pickled ones among them.",
)
@click.option(
    "--capture-output",
    is_flag=True,
    help="Have what tasks print written as lines of the log, which name the task.",
)
@click.option(
    "--http",
    metavar="HOST:PORT",
    callback=check_http,
    help="Have a child process serve health and metrics there: raftwork[web].",
)
@click.option("--name", callback=_name, help="Shown in `raftwork status` (default: HOST-PID).")
@config_options
@logging_options
def command(
    app: str,
    brokers: str | None,
    key: Key | None,
    executor: str | None,
    max_tasks_per_child: int | None,
    max_memory_per_child: int,
    pickle: bool,
    **as_given: Unpack[_AsGiven],
) -> None:
    """Run the tasks of an App.

    It is called APP in MODULE, which is imported from the current directory or the path.

    SIGTERM or SIGINT: take nothing new, hand back what has not started, finish what runs. A second
    one, or the end of --grace, stops at once, and the tasks go back to the queue.

    Each option may also be a key of [worker] in the file of --config, or a variable: --queues is
    $RAFTWORK_WORKER_QUEUES. MODULE:APP is called `app` there.

    \b
    Example:
      raftwork worker tasks:app --concurrency 8 --queues default,mail
    """
    require_assertions()
    recycling = max_tasks_per_child or 0, max_memory_per_child
    _check_pool(as_given["pool"], executor, recycling, capture=as_given["capture_output"])
    shown: dict[str, object] = {
        **as_given,
        "app": app,
        "brokers": broker_addresses(brokers),
        "key": key and key.file,
        "concurrency": as_given["concurrency"] or "one per usable CPU",
        "executor": executor,
        "max_tasks_per_child": max_tasks_per_child,
        "max_memory_per_child": max_memory_per_child or None,
        "pickle": pickle,
        "name": as_given["name"] or "HOST-PID",
    }
    if checked(shown | logging_values()):
        return
    _begin()
    raise SystemExit(_run(app, brokers, key, executor, recycling, pickles=pickle, **as_given))


def _begin() -> None:
    leave_when_told()
    divide_process_one()
    start_logging()


def _check_pool(
    pool: str, executor: str | None, recycling: tuple[int, int], *, capture: bool
) -> None:
    if pool != "process" and any(recycling):
        raise click.UsageError("only the process pool has children to replace")
    if pool != "process" and capture:
        raise click.UsageError("--capture-output goes with --pool process: others share one output")
    if (pool == "executor") != (executor is not None):
        raise click.UsageError("--pool executor and --executor MODULE:FUNCTION go together")


def _run(
    target: str,
    brokers: str | None,
    key: Key | None,
    executor: str | None,
    recycling: tuple[int, int],
    *,
    pickles: bool,
    **as_given: Unpack[_AsGiven],
) -> int:
    """Load the App and work for it. What it names as its brokers comes second only to a flag."""
    with uncollected():
        from raftwork import App
        from raftwork.worker import Recycling, load, maker, run_worker

    source = click.get_current_context().get_parameter_source("brokers")
    flag = brokers if source is ParameterSource.COMMANDLINE else None
    if brokers and source is ParameterSource.DEFAULT_MAP:
        # Below what an App names, and above the default: where the environment is, which names none
        # here. It is for programs that tasks start, too.
        os.environ["RAFTWORK_BROKERS"] = brokers
    if key is not None:
        # For Apps that name none: what tasks enqueue comes from here, too.
        os.environ["RAFTWORK_KEY"] = os.path.abspath(key.file)
    try:
        app = load(target)
        engine = None if executor is None else maker(executor)
    except LoadError as error:
        raise click.ClickException(str(error)) from error
    fill()  # what the module closed
    by_line()
    speak_on()  # and what it silenced
    addresses = broker_addresses(flag or getattr(app, "brokers", None))
    if isinstance(app, App):
        app.brokers = addresses  # what its tasks enqueue goes to where they came from
    code = run_worker(
        app.tasks,
        brokers=addresses,
        app_target=target,
        recycling=Recycling(*recycling),
        hooks=app.hooks if isinstance(app, App) else None,
        key=key or getattr(app, "key", None),
        codec=getattr(app, "codec", None),
        pickles=pickles,
        engine=engine,
        declared=_declared(app, target) if isinstance(app, App) else (),
        **as_given,
    )
    let_go()
    return code


def _declared(app: App, target: str) -> Sequence[DeclareSchedules]:
    """The schedules of its code, as they are to be sent."""
    from raftwork.client import sealed_requests
    from raftwork.client.declarations import declaring

    asked = declaring(app.declarations, target, apply=False)
    return [
        each if app.codec is None else sealed_requests.declared(app.codec, each) for each in asked
    ]
