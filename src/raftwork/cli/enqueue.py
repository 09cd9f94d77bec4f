"""`raftwork enqueue`: put one task into a queue, by name."""

from __future__ import annotations

import re
import shlex
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from raftwork.cli.cluster import Cluster, waits
from raftwork.cli.output import err, out
from raftwork.cli.signals import Told, end_by_exception
from raftwork.cli.values import (
    Seconds,
    instant,
    json_object,
    parse_argument,
    parse_tag,
    usage,
    use_key_file,
)
from raftwork.escapes import visible
from raftwork.keys import is_key_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from raftwork import Flow, Run
    from raftwork.client.task import BoundTask

_NUMBER = re.compile(r"-\d")


class _TakesNegativeNumbers(click.Command):
    """`-5` is an argument like any other; every other unknown option is still an error."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {name for option in self.get_params(ctx) for name in option.opts}
        for arg in args[: args.index("--")] if "--" in args else args:
            if len(arg) > 1 and arg[0] == "-" and not _NUMBER.match(arg):
                name = arg.partition("=")[0]
                if name not in known:
                    valid = ", ".join(sorted(o for o in known if o.startswith("--")))
                    raise click.NoSuchOption(
                        name, f"No such option: {name}; there are {valid}", ctx=ctx
                    )
        return super().parse_args(ctx, args)


class _Given(TypedDict):
    """What is handed on as it is given: options of the call."""

    queue: str
    key: str | None
    at: datetime | None
    tenant: str | None
    priority: int
    ordered: bool
    unique: str | None
    delay: float | None
    expires: float | None
    deadline: float | None
    tags: dict[str, str]


def _key(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> str | None:
    """The task's key. A key file's name among the values is no task's key, but who enqueues."""
    files = [value for value in values if is_key_file(value)]
    keys = [value for value in values if value not in files]
    if len(files) > 1 or len(keys) > 1:
        raise click.BadParameter(f"is given twice: {', '.join(files or keys)}", ctx, option)
    for file in files:
        use_key_file(ctx, option, file)
    return keys[0] if keys else None


def _tags(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    try:
        tags = [parse_tag(value) for value in values]
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, option) from None
    if len(made := dict(tags)) < len(tags):
        raise click.BadParameter("a key is given twice", ctx, option)
    return made


@click.command(
    "enqueue", cls=_TakesNegativeNumbers, context_settings={"ignore_unknown_options": True}
)
@click.argument("name")
@click.argument("args", nargs=-1, metavar="[ARG]…", type=click.UNPROCESSED)
@click.option("--kwargs", default="{}", metavar="JSON", callback=json_object, help="A JSON object.")
@click.option(
    "--queue", default="default", show_default=True, metavar="Q", help="The queue to put it into."
)
@click.option(
    "--id", "task_id", metavar="ID", help="The task's id: enqueueing it again changes nothing."
)
@click.option(
    "--priority",
    type=int,
    default=0,
    metavar="N",
    help="-100 to 100: higher ones are handed out sooner.",
)
@click.option(
    "--key",
    multiple=True,
    callback=_key,
    metavar="K",
    help="What it is about, such as a customer's number. That of a file made by `raftwork keys new`"
    " is who enqueues, where brokers have keys (default: $RAFTWORK_KEY).",
)
@click.option("--ordered", is_flag=True, help="Run after those of its key that came before it.")
@click.option(
    "--delay", type=Seconds(none=True), metavar="S", help="Seconds before which it does not begin."
)
@click.option(
    "--at", metavar="ISO", callback=instant, help="A time before which it does not begin."
)
@click.option(
    "--expires",
    type=Seconds(none=True),
    metavar="S",
    help="Seconds after which it does not begin any more.",
)
@click.option(
    "--deadline", type=Seconds(none=True), metavar="S", help="Seconds after which it has failed."
)
@click.option("--tenant", metavar="T", help="On whose behalf it runs, for queues set to be fair.")
@click.option(
    "--unique", metavar="KEY", help="If an unfinished task of this NAME and KEY is there, it is it."
)
@click.option(
    "--tag", "tags", multiple=True, callback=_tags, metavar="K=V", help="What it is about; repeat."
)
@click.option(
    "--broadcast", is_flag=True, help="One such task for each active worker; the id is a flow's."
)
@click.option("--wait", is_flag=True, help="Print the result instead of the id.")
@partial(waits, key=False)
def command(
    cluster: Cluster,
    name: str,
    args: tuple[str, ...],
    kwargs: dict[str, object],
    task_id: str | None,
    broadcast: bool,
    wait: bool,
    **given: Unpack[_Given],
) -> None:
    """Enqueue the task NAME with its arguments.

    Each ARG is JSON if it parses, else a string. The task has the default options: those given to
    @app.task, such as retries and timeout, are known only to programs that import it.

    Prints the task's id once a majority of the brokers has it on disk. Exits 1 if that fails or,
    with --wait, if the task fails, is lost or takes too long: then stderr says how to go on.

    \b
    Example:
      raftwork enqueue tasks.report 2027 --priority 5
      raftwork enqueue tasks.remind ada --at 2027-01-01T09:00:00+01:00
      raftwork enqueue tasks.add 1 2 --wait --timeout 10
      raftwork enqueue tasks.mail --kwargs '{"to": "ada@example.org"}'
      raftwork enqueue tasks.reload prices --broadcast --wait
    """
    from raftwork.client.ids import new_ids

    with usage():
        values = _values(args)
        # Made here, so that it can be told whatever happens.
        id_ = new_ids(1)[0] if task_id is None else task_id
        task = cluster.app.named(name, id=None if broadcast else id_, **given)
        if given["ordered"] and given["key"] is None:
            raise click.UsageError("--ordered needs --key")
        flow = _flow(task, values, kwargs, id_) if broadcast else None
    if wait:
        _load_waiting()
    with _interrupted_in_words(id_) as stored:
        with cluster.asked():
            enqueue = partial(task.enqueue, *values, **kwargs)
            stored.append(_enqueue(enqueue if flow is None else lambda: flow.enqueue().run, id_))
        (run,) = stored
        if run.existing:
            err(f"a task with the unique key {given['unique']} is there: {run.id}")
        if wait:
            with cluster.asked(given["queue"]):
                _wait(run, cluster.timeout, given["queue"], cluster.brokers)
        else:
            out(run.id)


@contextmanager
def _interrupted_in_words(id_: str) -> Iterator[list[Run[object]]]:
    """Whatever is interrupted within says how to go on; it puts there what was stored."""
    stored: list[Run[object]] = []
    try:
        end_by_exception()
        yield stored
    except (KeyboardInterrupt, Told):
        err(f"interrupted; {_to_wait_again(stored[0].id) if stored else _to_try_again(id_)}")
        raise


def _to_try_again(id_: str) -> str:
    return f"it may have been stored: the same again with --id {shlex.quote(id_)} is safe"


def _to_wait_again(id_: str) -> str:
    return f"to wait again: raftwork result {shlex.quote(id_)} --wait"


def _values(args: tuple[str, ...]) -> tuple[object, ...]:
    values = []
    for number, arg in enumerate(args, 1):
        try:
            values.append(parse_argument(arg))
        except ValueError as error:
            raise ValueError(f"argument {number}: {error}") from None
    return tuple(values)


def _flow(
    task: BoundTask[..., object], args: tuple[object, ...], kwargs: dict[str, object], id_: str
) -> Flow:
    """A broadcast. Raises ValueError for options or an id that it may not have."""
    from raftwork.client.flow import Flow

    canvas = task.broadcast(*args, **kwargs)
    assert canvas.app is not None, "a task without its App"
    return Flow(canvas.app, id_, canvas)


def _enqueue(enqueue: Callable[[], Run[object]], id_: str) -> Run[object]:
    """Enqueue it. What fails on the way says how to enqueue it without doing it twice."""
    from raftwork import Unavailable

    try:
        return enqueue()
    except Unavailable as error:
        text = f"Unavailable: {error}; {_to_try_again(id_)}"
        raise click.ClickException(visible(text)) from error


def _load_waiting() -> None:
    """Before the enqueue: who interrupts in between would be told no id."""
    import raftwork.cli.result
    import raftwork.client.overview  # noqa: F401


def _wait(run: Run[object], timeout: float | None, queue: str, brokers: str | None) -> None:
    """Print the result. A wait that ends without an outcome says how to go on with it."""
    from raftwork import Status, Unavailable
    from raftwork.cli.result import NoValue, show
    from raftwork.client.overview import observe

    go_on = _to_wait_again(run.id)
    try:
        show(run, wait=True, timeout=timeout)
    except Unavailable as error:
        raise click.ClickException(visible(f"Unavailable: {error}; {go_on}")) from error
    except NoValue as error:
        if error.state == Status.QUEUED:
            seen = observe(brokers)
            if seen.leader is not None and not seen.serves(queue):
                err(f"no worker serves the queue {queue}")
        if error.state in (Status.QUEUED, Status.RUNNING):
            err(go_on)
        raise
