"""`raftwork result`: what became of a task."""

import sys
from contextlib import nullcontext
from typing import NoReturn

import click

from raftwork import App, Run, Status, TaskFailed, TaskLost, UnknownTask
from raftwork.cli.output import err_lines
from raftwork.cli.values import brokers_option, print_json, usage, wait_timeout_option
from raftwork.cli.waiting import explained


@click.command("result")
@click.argument("task_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Wait until the task has ended.")
@wait_timeout_option
@brokers_option
def command(task_id: str, wait: bool, timeout: float | None, brokers: str | None) -> None:
    """Print a task's result as JSON.

    Without a result it exits 1, and the first line on stderr is the task's state: `queued` or
    `running`, `failed` or `lost` with the reason below, `unknown` for an id that no task has. An
    answer that did not come is `Error: Unavailable`.

    Bytes are printed as {"$bytes": "<base64>"}, floats that are no numbers as {"$float": "NaN"},
    "Infinity" or "-Infinity"; `raftwork enqueue` takes both.

    \b
    Example:
      raftwork result 0199c1a2-7f2b-7c3e-8d4f-5a6b7c8d9e0f --wait --timeout 10
    """
    with usage():
        app = connect(brokers, timeout)
        run = app.run(task_id)
    # Where a program reads stderr, the state of the task is what comes first.
    with app, explained(brokers) if sys.stderr.isatty() else nullcontext():
        show(run, wait=wait, timeout=timeout)


def connect(brokers: str | None, timeout: float | None) -> App:
    """An App for one command; enqueueing and asking take no longer than `--timeout` either."""
    return App(brokers=brokers) if timeout is None else App(brokers=brokers, timeout=timeout)


def show(run: Run[object], *, wait: bool, timeout: float | None) -> None:
    """Print the value, or say why there is none and exit 1. Raises Unavailable."""
    try:
        if not wait and (state := run.status()) in (Status.QUEUED, Status.RUNNING):
            _no_value(state, "")
        # A final state's value is there for the asking; only its transport can take time.
        value = run.result(timeout=timeout if wait else timeout or 10.0)
    except TaskFailed as error:
        _no_value("failed", error.traceback or str(error))
    except TaskLost as error:
        _no_value("lost", str(error))
    except UnknownTask as error:
        _no_value("unknown", str(error))
    except TimeoutError:
        _no_value(run.status(), f"no outcome within {timeout} s")
    else:
        print_json(value)


class NoValue(SystemExit):
    """Exit 1: the state of the task was printed in place of a value."""

    def __init__(self, state: str) -> None:
        super().__init__(1)
        self.state = state


def _no_value(state: str, text: str) -> NoReturn:
    err_lines("\n".join(filter(None, (state, text.rstrip()))))
    raise NoValue(state)
