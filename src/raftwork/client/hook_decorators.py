"""What a worker calls of a program: decorators, as an App has them."""

from raftwork.hooks import Hook, Hooks, TaskOutcome


class HookDecorators:
    """The occasions, each to be used as a decorator."""

    def __init__(self) -> None:
        #: The functions that were added.
        self.hooks = Hooks()

    @property
    def on_worker_start(self) -> Hook[[]]:
        """Called once in the worker's own process, when a process pool has been forked off.

        If it raises, the worker ends with status 1 before it has taken a task.
        """
        return self.hooks.worker_start

    @property
    def on_child_start(self) -> Hook[[]]:
        """Called in every process that runs tasks, before its first one: for connections, threads.

        In a process pool that is each child, later replacements too; with the other pools the
        worker's own process, once. If it raises, no task runs there: a child is started again, with
        growing pauses; a worker without a process pool ends with status 1.
        """
        return self.hooks.child_start

    @property
    def on_child_stop(self) -> Hook[[]]:
        """Called in every process that runs tasks when it has run its last one: send what waits.

        In a process pool that is each child, when it is replaced or the worker has drained: it has
        two seconds then, after which it is killed. With the other pools it is the worker's own
        process, before `on_worker_stop`. Not called if it is stopped at once or killed. What it
        raises is logged.
        """
        return self.hooks.child_stop

    @property
    def on_task_start(self) -> Hook[[]]:
        """Called where a task runs, just before its code; `current()` says which it is.

        What it raises is logged, and the task runs all the same.
        """
        return self.hooks.task_start

    @property
    def on_task_end(self) -> Hook[[TaskOutcome]]:
        """Called where a task ran, just after its code, with a TaskOutcome.

        Not called if the process was killed. What it raises is logged.
        """
        return self.hooks.task_end

    @property
    def around_task(self) -> Hook[[]]:
        """Gives a context manager that is entered where a task runs, around its code and its hooks.

        Such as `app.around_task(flask_app.app_context)`; coroutines' code may have an async one.
        What entering raises fails the attempt. The first that was added is the outermost.
        """
        return self.hooks.around

    @property
    def on_worker_stop(self) -> Hook[[]]:
        """Called once in the worker's own process, when it has drained. What it raises is logged.

        Not called if it is stopped at once or killed.
        """
        return self.hooks.worker_stop
