"""Which functions a worker can have, and under which names."""

import functools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from raftwork.client.task_names import default_name, whereabouts
from tests.unit.client.cluster import app_and_cluster


def plain(x: int) -> int:
    return x


def decorated(function: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(function)
    def wrapper(*args: object, **kwargs: object) -> object:
        return function(*args, **kwargs)

    return wrapper


@decorated
def wrapped(x: int) -> int:
    return x


cached = functools.lru_cache(plain)


class Space:
    def method(self) -> None: ...

    @staticmethod
    def static(x: int) -> None: ...

    def plain(x: int) -> None: ...  # type: ignore[misc]  # noqa: N805

    def __call__(self) -> None: ...


def test_what_an_import_brings_may_be_enqueued() -> None:
    unbound = vars(Space)["plain"]
    for function in (plain, wrapped, cached, Space.static, unbound, print):
        assert default_name(function) == f"{function.__module__}.{function.__qualname__}"
        assert whereabouts(function) is None


def nested() -> None: ...


nested.__qualname__ = "outer.<locals>.nested"


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (nested, "inside a function"),
        (lambda: None, "is a lambda"),
        (Space.method, "is a method"),
    ],
)
def test_what_none_brings_runs_here_and_is_refused_where_it_is_enqueued(
    function: Callable[..., object], why: str
) -> None:
    app, cluster = app_and_cluster()
    task = app.task(function)
    task(*([Space()] if "method" in why else []))
    for enqueue in (
        lambda: task.enqueue(),
        lambda: task.options(queue="q").enqueue(1, 2, 3),
        lambda: task.enqueue_many([()]),
        lambda: app.enqueue(task.name),
    ):
        with pytest.raises(ValueError, match=why):
            enqueue()
    assert not cluster.batches
    named = app.task(name="known.elsewhere")(function)
    named.enqueue(*([1] if "method" in why else []))
    assert len(cluster.batches) == 1


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        (Space, "the class Space"),
        (Space(), "an instance of Space"),
        (Space().method, "the method Space.method of an object"),
        (functools.partial(plain, 1), "an instance of partial"),
    ],
)
def test_what_is_no_function_is_no_task_without_a_name(
    what: Callable[..., object], kind: str
) -> None:
    app, _ = app_and_cluster()
    with pytest.raises(TypeError, match=f"got {kind}"):
        app.task(what)
    assert app.task(name="t")(what).name == "t"


@pytest.fixture
def main() -> Iterator[types.ModuleType]:
    """Another program's main module."""
    before, made = sys.modules["__main__"], types.ModuleType("__main__")
    sys.modules["__main__"] = made
    yield made
    sys.modules["__main__"] = before


def job_of(module: str, file: str = "/srv/tasks.py") -> Callable[..., object]:
    def job() -> None: ...

    job.__module__, job.__qualname__ = module, "job"
    job.__code__ = job.__code__.replace(co_filename=file)
    return job


@pytest.mark.parametrize(
    ("file", "spec", "typed"),
    [
        (None, None, "<stdin>"),  # a prompt, a notebook, -c
        ("<stdin>", None, "<stdin>"),  # python - < program
        ("/srv/tasks.py", None, "<stdin>"),  # python -i tasks.py
        ("/srv/tasks.py", None, "<python-input-3>"),  # the same of 3.13
        ("/srv/app/__main__.py", None, "/srv/app/__main__.py"),  # python app/
        ("/srv/app/__main__.py", "__main__", "/srv/app/__main__.py"),
        ("/srv/asyncio/__main__.py", "asyncio.__main__", "<console>"),  # python -m asyncio
        ("/srv/my-tasks.py", None, "/srv/my-tasks.py"),
        ("/srv/01_tasks.py", None, "/srv/01_tasks.py"),
    ],
)
def test_a_program_that_cannot_be_imported_cannot_enqueue_its_functions(
    main: types.ModuleType, file: str | None, spec: str | None, typed: str
) -> None:
    if file:
        main.__file__ = file
    main.__spec__ = types.SimpleNamespace(name=spec) if spec else None  # type: ignore[assignment]
    assert "no worker can import" in str(whereabouts(job_of("__main__", typed)))


@pytest.mark.parametrize(
    ("file", "spec", "name"),
    [
        ("/srv/jobs/tasks.py", None, "tasks.job"),
        ("/srv/jobs/pkg/mod.py", "pkg.mod", "pkg.mod.job"),
        ("/srv/jobs/pkg/__main__.py", "pkg.__main__", "pkg.job"),
        ("/srv/jobs/tasks.py", "__main__", "tasks.job"),  # cProfile, from 3.12 on
    ],
)
def test_a_program_goes_by_the_name_that_workers_import(
    main: types.ModuleType, file: str, spec: str | None, name: str
) -> None:
    main.__file__ = file
    main.__spec__ = types.SimpleNamespace(name=spec) if spec else None  # type: ignore[assignment]
    job = job_of("__main__")
    assert (default_name(job), whereabouts(job)) == (name, None)


def test_a_program_under_a_profiler_or_a_tracer_goes_by_its_own_name(
    main: types.ModuleType,
) -> None:
    main.__file__ = "/usr/lib/python3/cProfile.py"
    main.__spec__ = types.SimpleNamespace(name="cProfile")  # type: ignore[assignment]
    space: dict[str, Any] = {"__name__": "__main__", "__file__": "/srv/jobs/tasks.py"}
    exec(compile("def job(): ...", "/srv/jobs/tasks.py", "exec"), space)
    for job in (space["job"], decorated(space["job"])):
        assert (default_name(job), whereabouts(job)) == ("tasks.job", None)


@pytest.mark.parametrize("module", ["__console__", "a.module", "<run_path>"])
def test_what_was_typed_is_of_no_module_whatever_it_says(module: str) -> None:
    """Of code.interact, of doctests, of runpy.run_path."""
    space: dict[str, Any] = {"__name__": module}
    file = "/srv/t.py" if module == "<run_path>" else "<console>"
    exec(compile("def job(): ...", file, "exec"), space)
    for job in (space["job"], decorated(space["job"])):
        assert "no worker can import" in str(whereabouts(job))


def test_a_worker_that_imports_a_main_module_has_the_names_its_program_uses() -> None:
    assert default_name(job_of("pkg.__main__")) == "pkg.job"


def test_children_of_multiprocessing_use_their_parents_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = types.ModuleType("__mp_main__")
    child.__file__ = "/srv/jobs/tasks.py"
    monkeypatch.setitem(sys.modules, "__mp_main__", child)
    job = job_of("__mp_main__")
    assert (default_name(job), whereabouts(job)) == ("tasks.job", None)
