"""The suites, and why what fails of them fails."""

import re
from collections.abc import Mapping
from typing import NamedTuple


class Suite(NamedTuple):
    """Tests of another project."""

    name: str
    #: The package whose version counts; None: Python itself.
    package: str | None
    what: str
    #: For pytest.
    arguments: tuple[str, ...]
    #: The least that must pass.
    least: int
    #: Of the worker.
    slots: int = 6
    #: By patterns of names: why such a test does not pass.
    reasons: Mapping[str, str] = {}

    def reason(self, test: str) -> str | None:
        """Why it fails, if that is known."""
        return next((why for like, why in self.reasons.items() if re.search(like, test)), None)


SUITES = (
    Suite(
        name="cpython",
        package=None,
        what="`test.test_concurrent_futures`: the tests for every executor",
        arguments=("--pyargs", "tests.suites.cpython"),
        least=31,
    ),
    Suite(
        name="joblib",
        package="joblib",
        what="`joblib.test.test_parallel`, with `raftwork` for `loky`",
        arguments=(
            *("-p", "tests.suites.joblib_plugin", "--pyargs", "joblib.test.test_parallel"),
            *("-k", "not multiprocessing and not threading", "--timeout", "120"),
        ),
        least=400,
        reasons={
            r"effective_n_jobs_None": "there are as many jobs as the workers have slots, not CPUs"
            " here",
            r"threadpool_limitation_in_child_override": "workers have an environment of their own,"
            " not the program's",
            r"nested_backend_in_seq": "without `n_jobs` there are as many as slots, as with Dask's"
            " backend; loky's has one",
            r"nested_parallelism_limit|backend_hinting|context_manager": "the name of loky's class"
            " is asked for",
            r"error_capture": "the pool of loky is asked for",
            r"generator_call_separated_gc": "calls at the same time are refused by loky, whose"
            " processes they would share; here each has an executor of its own",
            r"back_compat_backend-raftwork": "the processes of another backend do not know ours",
            r"no_blas_crash": "arguments of 16 MB; a call may have one mebibyte",
            r"memmap": "nothing is memory-mapped",
            r"test_initializer": "workers cannot reach the program's `multiprocessing.Manager`",
        },
    ),
    Suite(
        name="dask",
        package="dask",
        what="`dask.tests.test_delayed`, `dask.bag.tests.test_bag`, with an executor as scheduler",
        arguments=(
            *("-p", "tests.suites.dask_plugin", "--timeout", "120", "--pyargs"),
            *("dask.tests.test_delayed", "dask.bag.tests.test_bag"),
        ),
        least=250,
        reasons={
            r"traverse_false": "an equal object comes back, not the same one",
            r"to_delayed_optimize_graph": "it counts in the program what runs in a worker",
        },
    ),
)
