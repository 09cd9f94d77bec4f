"""joblib's Parallel over a cluster in this process."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from pickle import PicklingError
from typing import Any
from unittest import mock

import joblib
import pytest
from joblib.parallel import BACKENDS, SequentialBackend

from raftwork import App, PayloadTooLarge, Unavailable
from raftwork.client import cluster_status
from raftwork.client.cluster_status import Answers
from raftwork.client.overview import Overview
from raftwork.contrib import joblib as contrib
from raftwork.contrib.joblib import RaftworkBackend
from raftwork.keys import Role, new_key, write_key
from raftwork.messages import WorkerStatus
from raftwork.testing.virtual_app import VirtualApp, installed

here: list[object] = []


def double(x: int) -> int:
    return 2 * x


def fails(x: int) -> int:
    return 1 // x


def nested(x: int) -> list[int]:
    inner: Any = joblib.Parallel(n_jobs=2)
    found: list[int] = inner(joblib.delayed(double)(x + i) for i in range(3))
    return found


def note(x: object) -> None:
    here.append(x)


@pytest.fixture
def app() -> Iterator[VirtualApp]:
    here.clear()
    with installed() as made:
        yield made


def parallel(app: VirtualApp | None, n_jobs: int = 3, **how: Any) -> Any:
    how.setdefault("backend", RaftworkBackend(app))
    return joblib.Parallel(n_jobs, **how)


def test_calls_run_on_the_cluster_in_their_order(app: VirtualApp) -> None:
    assert BACKENDS["raftwork"] is RaftworkBackend
    y = 1
    calls = [joblib.delayed(double)(x) for x in range(20)]
    assert parallel(app)(calls) == [2 * x for x in range(20)]
    assert parallel(app)(joblib.delayed(lambda x: x + y)(x) for x in range(3)) == [1, 2, 3]
    assert len(app.enqueued("raftwork.executor.call")) >= 2
    with joblib.parallel_config("raftwork", app=app, n_jobs=2), joblib.Parallel() as pool:
        assert pool(calls[:3]) == pool(calls[:3]) == [0, 2, 4]
    ordered = parallel(app, return_as="generator")(calls)
    assert list(ordered) == [2 * x for x in range(20)]


def test_an_error_is_the_functions_own_and_ends_the_rest(app: VirtualApp) -> None:
    backend = RaftworkBackend(app)
    with pytest.raises(ZeroDivisionError):
        parallel(app, 2, backend=backend, batch_size=1)(
            joblib.delayed(fails)(x) for x in (1, 0, *[1] * 50)
        )
    assert len(app.enqueued("raftwork.executor.call")) < 50
    assert parallel(app, 2, backend=backend)([joblib.delayed(double)(1)] * 2) == [2, 2]


class Unpicklable:
    def __reduce__(self) -> str:
        raise RuntimeError("not me")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("bad", "raised", "told"),
    [
        (Unpicklable(), PicklingError, "the task to send it to the workers: .*not me"),
        (bytes(2_000_000), PayloadTooLarge, "more than 1048576: store it elsewhere"),
    ],
)
def test_what_cannot_be_sent_is_raised_early_or_late(
    app: VirtualApp, bad: object, raised: type[Exception], told: str
) -> None:
    """All but the first few are sent by a callback: what that raised was lost, and nobody told."""
    for place in (0, 40):
        calls = [joblib.delayed(note)(bad if n == place else n) for n in range(50)]
        with pytest.raises(raised, match=told):
            parallel(app, 2, batch_size=1)(calls)


def test_what_runs_in_parallel_inside_takes_no_slots_of_the_cluster(app: VirtualApp) -> None:
    assert parallel(app)(joblib.delayed(nested)(x) for x in (1, 2)) == [[2, 4, 6], [4, 6, 8]]
    calls = app.enqueued("raftwork.executor.call")
    assert len(calls) <= 2


def test_one_job_stays_here(app: VirtualApp) -> None:
    assert parallel(app, 1)([joblib.delayed(note)(1)]) == [None]
    assert here == [1] and not app.enqueued()
    with pytest.raises(ValueError, match="n_jobs == 0 in Parallel has no meaning"):
        parallel(app, 0)([])
    assert isinstance(joblib.Parallel(1, backend=RaftworkBackend(app))._backend, RaftworkBackend)
    assert RaftworkBackend(app).effective_n_jobs(None) == 1
    assert SequentialBackend().effective_n_jobs(3) == 1


def test_an_initializer_runs_before_what_is_called(app: VirtualApp) -> None:
    how = {"initializer": note, "initargs": ("begun",)}
    calls = [joblib.delayed(double)(x) for x in range(4)]
    assert parallel(app, 2, batch_size=1, **how)(calls) == [0, 2, 4, 6]
    assert set(here) == {"begun"}


def seen(leader: str | None, *workers: tuple[int, str, list[str]]) -> Overview:
    made: list[Any] = [mock.Mock(WorkerStatus, slots=n, state=s, queues=q) for n, s, q in workers]
    return Overview(leader, 1, "raft", leader is None, [], made, [])


def test_all_jobs_are_as_many_as_workers_of_the_queue_have_slots(app: VirtualApp) -> None:
    answers = [
        seen(None),
        seen("a", (4, "active", ["default"]), (8, "lost", ["default"]), (16, "active", ["gpu"])),
    ]
    with mock.patch.object(contrib, "observe", side_effect=answers):
        assert RaftworkBackend(app).effective_n_jobs(-1) == 4
    for queue, n_jobs, jobs in (("gpu", -1, 16), ("gpu", -2, 15), ("gpu", -99, 1), ("none", -1, 1)):
        with mock.patch.object(contrib, "observe", return_value=answers[1]):
            assert RaftworkBackend(app, queue=queue).effective_n_jobs(n_jobs) == jobs


def test_who_asks_for_the_slots_is_the_app(tmp_path: Path) -> None:
    """Brokers with keys let nobody else ask; the App's key need not be that of RAFTWORK_KEY."""
    file = tmp_path / "ada.key"
    write_key(new_key("ada", [Role.CLIENT]), str(file))
    asked: list[object] = []

    def gather(*_: object, key: object = None, **__: object) -> Answers:
        asked.append(key)
        return Answers()

    with App("127.0.0.1:1", timeout=0.001, key=file) as keyed:
        with (
            mock.patch.object(cluster_status, "gather", gather),
            pytest.raises(Unavailable),
        ):
            RaftworkBackend(keyed).effective_n_jobs(-1)
        assert asked[0] is keyed.key is not None


def test_not_to_know_the_slots_is_not_to_have_none(app: VirtualApp) -> None:
    app._timeout = 1
    began = time.monotonic()
    with (
        mock.patch.object(contrib, "observe", return_value=seen(None)),
        pytest.raises(Unavailable, match="no broker answers"),
    ):
        RaftworkBackend(app).effective_n_jobs(-1)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("missing", ["joblib", "cloudpickle"])
def test_without_the_library_one_error_names_the_extra(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import raftwork.contrib.joblib"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'raftwork[joblib]'" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("ImportError: raftwork.contrib.joblib needs ")
