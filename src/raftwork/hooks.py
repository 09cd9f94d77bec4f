"""Functions of a program that a worker calls as it starts, runs tasks and stops."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., object])


class TaskOutcome(NamedTuple):
    """How a task's code ended: what it raised (None: it returned), and after how many seconds."""

    error: BaseException | None
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it returned."""
        return self.error is None


class Hook(Generic[P]):
    """Functions to call at one occasion, in the order they were added. Used as a decorator."""

    def __init__(self) -> None:
        self.functions: list[Callable[P, object]] = []

    def __call__(self, function: F, /) -> F:
        """Add a function and return it. Raises TypeError for coroutine functions and objects."""
        if not callable(function):
            raise TypeError(f"a hook must be a function, got {type(function).__name__}")
        if inspect.iscoroutinefunction(function):
            raise TypeError("a hook must be a plain function: no event loop runs when it is called")
        self.functions.append(function)
        return function

    def __bool__(self) -> bool:
        return bool(self.functions)


@dataclass(frozen=True, slots=True)
class Hooks:
    """All hooks of an App; App's properties of the same names say when each is called."""

    worker_start: Hook[[]] = field(default_factory=Hook)
    child_start: Hook[[]] = field(default_factory=Hook)
    child_stop: Hook[[]] = field(default_factory=Hook)
    task_start: Hook[[]] = field(default_factory=Hook)
    task_end: Hook[[TaskOutcome]] = field(default_factory=Hook)
    worker_stop: Hook[[]] = field(default_factory=Hook)
    around: Hook[[]] = field(default_factory=Hook)
