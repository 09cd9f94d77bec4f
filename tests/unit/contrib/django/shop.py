"""Tasks of a Django project."""

from importlib import import_module
from typing import Any

from tests.unit.contrib.django import site

site.configure()
#: It has no types of its own.
task: Any = import_module(site.PACKAGE).task

ran: list[object] = []


class Boom(Exception):
    pass


@task
def add(x: int, y: int = 0) -> int:
    ran.append((x, y))
    return x + y


@task
async def aadd(x: int, y: int) -> int:
    return x + y


@task(takes_context=True)
def told(context: Any, x: object) -> list[object]:
    return [context.attempt, context.task_result.id, x]


@task(queue_name="mail", priority=7)
def mail(to: object) -> object:
    ran.append(to)
    return {"to": to, "parts": (1, 2)}


@task
def fails(kind: str) -> None:
    raise {"own": Boom("no: really"), "builtin": ValueError("bad"), "exit": SystemExit(3)}[kind]


@task
def odd() -> object:
    return object()


@task(backend="late")
def late(x: int) -> int:
    return x


def secret() -> None:
    """No task."""
    ran.append("secret")
