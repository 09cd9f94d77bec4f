"""The `raftwork` command: one module per subcommand. They parse, call and print; no logic here.

A module here with a `command` is a subcommand, and so is what a capability says of itself (see
`declared`). Results go to stdout and everything else to stderr. Exit codes: 0 success, 1 the
operation failed, 2 wrong usage. Commands import what they run when they run it, so `--help` stays
quick.
"""

import errno
import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager

import click

from raftwork import interrupts
from raftwork.cli.feature_commands import add_to, command_lines
from raftwork.cli.uncollected import uncollected
from raftwork.errors import RaftworkError
from raftwork.escapes import visible, visible_lines
from raftwork.logs import start_plain
from raftwork.standard_streams import escape_what_cannot_be_written, fill


class _Commands(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the options before the subcommand."""
        interrupts.begun()
        escape_what_cannot_be_written()
        with _errors():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the subcommand; an error of the tree becomes its text and exit code 1."""
        with _errors():
            return super().invoke(ctx)


@contextmanager
def _errors() -> Iterator[None]:
    """Show click's errors escaped, as all other output is."""
    try:
        yield
    except RaftworkError as error:
        raise click.ClickException(visible(f"{type(error).__name__}: {error}")) from error
    except click.ClickException as error:
        vars(error)["message"] = visible_lines(error.message)  # which click declares as final
        raise
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # a reader that is gone is click's to handle, without a word
        what = "cannot write" if error.errno == errno.ENOSPC else type(error).__name__
        which = f": {error.filename}" if error.filename is not None else ""
        raise click.ClickException(visible(f"{what}: {error.strerror or error}{which}")) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="raftwork")
def main() -> None:
    """A highly available task queue that needs no external broker.

    \b
    Example, a broker and a worker in one terminal, and a task from a second:
      raftwork dev tasks:app
      raftwork enqueue tasks.add 1 2 --wait
      raftwork status

    \b
    The same with a broker and a worker that stay, each in its own:
      raftwork broker --name a --cluster a=127.0.0.1:7701 --data data/a
      raftwork worker tasks:app
    """
    fill()
    start_plain()


def _discovered() -> Iterator[click.Command]:
    """The `command` of each module or package here."""
    for found in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{found.name}")
        if isinstance(command := vars(module).get("command"), click.Command):
            yield command


with uncollected():
    for each in _discovered():
        main.add_command(each)
for line in command_lines():
    add_to(main, line)
