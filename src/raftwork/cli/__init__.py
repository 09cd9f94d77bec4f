"""The `raftwork` command: one module per subcommand. They parse, call and print; nothing decides.

Results go to stdout and everything else to stderr. Exit codes: 0 success, 1 the operation failed,
2 wrong usage. Commands import what they run when they run it, so `--help` stays quick.
"""

import logging

import click

from raftwork.cli import broker, chaos, dead, demo, drain, enqueue, queue, result, status, worker
from raftwork.errors import RaftworkError
from raftwork.streams import fill

LOG_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        """Run the subcommand; an error of the tree becomes its text and exit code 1."""
        try:
            return super().invoke(ctx)
        except RaftworkError as error:
            raise click.ClickException(f"{type(error).__name__}: {error}") from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="raftwork")
def main() -> None:
    """A highly available task queue that needs no external broker.

    \b
    Example, in three terminals and a fourth:
      raftwork broker --name a --cluster a=127.0.0.1:7701 --data /tmp/a
      raftwork worker tasks:app --brokers 127.0.0.1:7701
      raftwork enqueue tasks.add 1 2 --wait --brokers 127.0.0.1:7701
      raftwork status --brokers 127.0.0.1:7701
    """
    fill()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


for module in (broker, worker, enqueue, result, queue, dead, drain, status, demo, chaos):
    main.add_command(module.command)
