"""A Django project, without files: its settings."""

from importlib.util import find_spec

import django
from django.conf import settings

#: Of the tasks: Django's own, or those for Django 5.2.
PACKAGE = "django.tasks" if find_spec("django.tasks") is not None else "django_tasks"
TASKS = {
    "default": {
        "BACKEND": "raftwork.contrib.django.RaftworkBackend",
        "QUEUES": ["default", "mail"],
        "OPTIONS": {"brokers": "127.0.0.1:1"},
    },
    "late": {
        "BACKEND": "raftwork.contrib.django.RaftworkBackend",
        "OPTIONS": {"brokers": "127.0.0.1:1", "enqueue_on_commit": True},
    },
}


def configure() -> None:
    """Once in a process."""
    if not settings.configured:
        settings.configure(
            SECRET_KEY="x",
            USE_TZ=True,
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            INSTALLED_APPS=[*({"django_tasks"} & {PACKAGE}), "raftwork.contrib.django"],
            TASKS=TASKS,
        )
        django.setup()


configure()
