"""`manage.py raftwork_worker`: a worker that runs this project's tasks."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from raftwork.contrib.django.backend import RaftworkBackend
from raftwork.contrib.django.compat import task_backends


class Command(BaseCommand):
    """It becomes `raftwork worker`, in this process."""

    help = "Run this project's tasks until SIGTERM or Ctrl-C: as `raftwork worker`."
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See BaseCommand."""
        parser.add_argument("--backend", default="default", help="Of TASKS: its brokers, queues.")
        parser.add_argument("--queues", help="Comma-separated (default: the backend's QUEUES).")
        parser.add_argument("--brokers", help="Addresses host:port (default: the backend's).")
        parser.add_argument("--key", help="Who it is, a file (default: the backend's).")
        for name in ("concurrency", "pool", "name"):
            parser.add_argument(f"--{name}", help="As of `raftwork worker`.")

    def handle(self, **options: Any) -> None:
        """See BaseCommand."""
        backend = task_backends[options["backend"]]
        if not isinstance(backend, RaftworkBackend):
            raise CommandError(
                f"TASKS[{options['backend']!r}] is not a RaftworkBackend: name one by --backend"
            )
        queues = options["queues"] or ",".join(sorted(backend.queues)) or "default"
        brokers = options["brokers"] or ",".join(backend.app.brokers)
        flags = ["--queues", queues, "--brokers", brokers]
        if key := options["key"] or backend.options.get("key"):
            flags += ["--key", os.fspath(key)]
        for name in ("concurrency", "pool", "name"):
            if options[name] is not None:
                flags += [f"--{name}", options[name]]
        # Nothing that Django has opened by now is shared with the worker's processes.
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        command = [sys.executable, "-m", "raftwork", "worker", "raftwork.contrib.django.worker:app"]
        sys.stdout.flush()
        os.execv(sys.executable, [*command, *flags])  # noqa: S606 - it is Raftwork
