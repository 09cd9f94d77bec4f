"""`raftwork result`: what became of a task."""

import sys
from contextlib import nullcontext
from typing import NoReturn

import click

from raftwork import Run, Status, TaskCancelled, TaskFailed, TaskLost, UnknownTask
from raftwork.cli.cluster import Cluster, waits
from raftwork.cli.output import err_lines
from raftwork.cli.values import print_json, usage


@click.command("result")
@click.argument("task_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Wait until the task has ended.")
@waits
def command(cluster: Cluster, task_id: str, wait: bool) -> None:
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
        run = cluster.app.run(task_id)
    # Where a program reads stderr, the state of the task is what comes first.
    with cluster.asked() if sys.stderr.isatty() else nullcontext():
        show(run, wait=wait, timeout=cluster.timeout)


def show(run: Run[object], *, wait: bool, timeout: float | None) -> None:
    """Print the value, or say why there is none and exit 1. Raises Unavailable."""
    try:
        if not wait and (state := run.status()) in UNFINISHED:
            _no_value(state, "")
        # A final state's value is there for the asking; only its transport can take time.
        value = run.result(timeout=timeout if wait else timeout or 10.0)
    except TaskFailed as error:
        _no_value("failed", _failure(error))
    except TaskLost as error:
        _no_value("lost", str(error))
    except TaskCancelled as error:
        _no_value("cancelled", str(error))
    except UnknownTask as error:
        _no_value("unknown", str(error))
    except TimeoutError:
        _no_value(run.status(), f"no outcome within {timeout} s")
    else:
        print_json(value)


#: The states of a task without an outcome.
UNFINISHED = frozenset({Status.QUEUED, Status.RUNNING, Status.SCHEDULED, Status.BLOCKED})


class NoValue(SystemExit):
    """Exit 1: the state of the task was printed in place of a value."""

    def __init__(self, state: str) -> None:
        super().__init__(1)
        self.state = state


def _failure(error: TaskFailed) -> str:
    """What went wrong, and what its code logged before."""
    text = error.traceback.rstrip() or str(error)
    return f"{text}\nits last lines in the log:\n{error.log}" if error.log else text


def _no_value(state: str, text: str) -> NoReturn:
    err_lines("\n".join(filter(None, (state, text.rstrip()))))
    raise NoValue(state)
