"""`raftwork result`: what became of a task."""

from typing import NoReturn

import click

from raftwork import App, Run, Status, TaskFailed, TaskLost, UnknownTask
from raftwork.cli.values import brokers_option, print_json, timeout_option, usage


@click.command("result")
@click.argument("task_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Wait until the task has ended.")
@timeout_option
@brokers_option
def command(task_id: str, wait: bool, timeout: float | None, brokers: str | None) -> None:
    """Print the task's result as JSON. Without one its state goes to stderr and the exit code is 1.

    Bytes are printed as {"$bytes": "<base64>"}, floats that are no numbers as {"$float": "NaN"},
    "Infinity" or "-Infinity"; `raftwork enqueue` takes both.

    \b
    Example:
      raftwork result 0199c1a2-7f2b-7c3e-8d4f-5a6b7c8d9e0f --wait --timeout 10
    """
    with usage():
        app = connect(brokers, timeout)
        run = app.run(task_id)
    with app:
        show(run, wait=wait, timeout=timeout)


def connect(brokers: str | None, timeout: float | None) -> App:
    """An App for one command; enqueueing and asking take no longer than `--timeout` either."""
    return App(brokers=brokers) if timeout is None else App(brokers=brokers, timeout=timeout)


def show(run: Run[object], *, wait: bool, timeout: float | None) -> None:
    """Print the value, or say why there is none and exit 1."""
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


def _no_value(state: str, text: str) -> NoReturn:
    click.echo("\n".join(filter(None, (state, text.rstrip()))), err=True)
    raise SystemExit(1)
