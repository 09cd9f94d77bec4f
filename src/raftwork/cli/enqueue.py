"""`raftwork enqueue`: put one task into a queue, by name."""

import re

import click

from raftwork.cli.values import (
    brokers_option,
    parse_argument,
    parse_json,
    timeout_option,
    usage,
)

_NUMBER = re.compile(r"-\d")


class _TakesNegativeNumbers(click.Command):
    """`-5` is an argument like any other; every other unknown option is still an error."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {name for option in self.get_params(ctx) for name in option.opts}
        for arg in args[: args.index("--")] if "--" in args else args:
            if len(arg) > 1 and arg[0] == "-" and not _NUMBER.match(arg):
                name = arg.partition("=")[0]
                if name not in known:
                    raise click.NoSuchOption(name, ctx=ctx)
        return super().parse_args(ctx, args)


def _kwargs(ctx: click.Context, option: click.Parameter, value: str) -> dict[str, object]:
    try:
        kwargs = parse_json(value)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", ctx, option) from None
    if not isinstance(kwargs, dict):
        raise click.BadParameter("not a JSON object", ctx, option)
    return kwargs


@click.command(
    "enqueue", cls=_TakesNegativeNumbers, context_settings={"ignore_unknown_options": True}
)
@click.argument("name")
@click.argument("args", nargs=-1, metavar="[ARG]…", type=click.UNPROCESSED)
@click.option("--kwargs", default="{}", metavar="JSON", callback=_kwargs, help="A JSON object.")
@click.option("--queue", default="default", show_default=True)
@click.option("--id", "task_id", help="The task's id: enqueueing it again changes nothing.")
@click.option("--wait", is_flag=True, help="Print the result instead of the id.")
@timeout_option
@brokers_option
def command(
    name: str,
    args: tuple[str, ...],
    kwargs: dict[str, object],
    queue: str,
    task_id: str | None,
    wait: bool,
    timeout: float | None,
    brokers: str | None,
) -> None:
    """Enqueue the task NAME with its arguments, each JSON if it parses, else a string.

    Prints the task's id once a majority of the brokers has it on disk. Exits 1 if that fails or,
    with --wait, if the task fails, is lost or takes too long.

    \b
    Example:
      raftwork enqueue tasks.add 1 2 --wait --timeout 10
      raftwork enqueue tasks.mail --kwargs '{"to": "ada@example.org"}' --queue mail
    """
    from raftwork import Unavailable
    from raftwork.cli.result import connect, show

    values = tuple(parse_argument(arg) for arg in args)
    with usage():
        app = connect(brokers, timeout)
        task = app.named(name, id=task_id, queue=queue)
    with app:
        try:
            run = task.enqueue(*values, **kwargs)
        except Unavailable as error:
            (unsure,) = error.ids
            raise click.ClickException(
                f"Unavailable: {error}; it may have been stored: the same again with --id {unsure} "
                "is safe"
            ) from error
        if wait:
            show(run, wait=True, timeout=timeout)
        else:
            click.echo(run.id)
