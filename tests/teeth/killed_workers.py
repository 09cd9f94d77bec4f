"""Breaks of what is said and done when a worker is killed: see catalogue.py."""

from tests.sim.mutants.surgery import Edit
from tests.teeth.shape import Break

_BROKER, _WORKER = "raftwork.broker", "raftwork.worker"

KILLED_WORKERS = (
    Break(
        "nobody says that a worker was killed",
        (
            Edit(
                f"{_WORKER}.pool.fork_server:ForkServer.serve",
                "self._killed_notice(self._unsettled())",
                "pass",
            ),
        ),
        ("test_nobody_waits_for_a_killed_worker_to_come_back",),
    ),
    Break(
        "what a killed worker's last hello does not list never began",
        (
            Edit(
                f"{_BROKER}.workers.reports:Reports.settle_hello",
                "if hello.session == LAST_SESSION:",
                "if False:",
            ),
        ),
        ("test_a_task_that_may_run_once_and_ended_unheard_is_not_run_again",),
    ),
    Break(
        "a killed worker's pool runs on",
        (
            Edit(
                f"{_WORKER}.pool.fork_server:ForkServer._end_children",
                "_signal(pid, signal.SIGKILL)",
                "pass",
            ),
            Edit(
                f"{_WORKER}.pool.fork_server:ForkServer._kill_running",
                "_signal(pid, signal.SIGKILL)",
                "pass",
            ),
        ),
        ("test_a_killed_worker_takes_its_pool_with_it",),
    ),
)
