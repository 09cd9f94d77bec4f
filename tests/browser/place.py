"""A cluster that does something, the dashboard that shows it, and a proxy before it."""

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple, TypeVar

from raftwork import App
from raftwork.client.overview import observe
from raftwork.testing.processes import LocalCluster, free_addresses

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
#: What somebody may name a task, to see whether the page makes markup of it.
HOSTILE = '<img src=x onerror="window.owned=1">{{7*7}}${7*7}</script>\''


class Place(NamedTuple):
    """What the tests share."""

    cluster: LocalCluster
    app: App
    url: str
    #: Where the broker c has the same served by its child.
    beside_c: str
    ids: dict[str, str]

    @property
    def leader(self) -> str:
        """Who leads, as `raftwork status` says."""
        return wait_until(lambda: observe(self.cluster.brokers).leader, "a leader")

    def dashboard(self, name: str, *flags: str) -> str:
        """Start another one; its address."""
        (address,) = free_addresses(1)
        self.cluster.start(
            name,
            ["dashboard", "--listen", address, "--brokers", self.cluster.brokers, *flags],
        )
        wait_until(lambda: _answers(address), f"{name} to answer")
        return f"http://{address}"


def wait_until(look: Callable[[], T | None], what: str, within: float = 60.0) -> T:
    """What `look` finds at last."""
    until = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < until, f"not within {within} s: {what}"
        time.sleep(0.02)
    return found


def _answers(address: str) -> bool:
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def busy_cluster(directory: Path) -> Iterator[Place]:
    """Three brokers, a worker, tasks in every state, and a dashboard."""
    env = {"PYTHONPATH": str(ROOT)}
    with LocalCluster(directory, env=env) as cluster:
        (http,) = free_addresses(1)
        for name in cluster.addresses:
            cluster.start_broker(name, *(("--http", http) if name == "c" else ()))
        flags = ("--pool", "thread", "--concurrency", "4", "--queues", "default,mail")
        cluster.start_worker("w1", "tests.browser.tasks:app", *flags)
        with App(brokers=cluster.brokers, timeout=30) as app:
            place = Place(cluster, app, "", f"http://{http}", {})
            place.ids.update(_work(app))
            yield place._replace(url=place.dashboard("dashboard"))


def _work(app: App) -> dict[str, str]:
    named = app.named
    ids = {"running": named("reports.build").enqueue(900).id}
    named("reports.build").enqueue(900)
    named("mail.send", queue="mail").enqueue_many([(f"user {n}",) for n in range(60)])
    ids["waiting"] = (
        named("mail.send", delay=timedelta(hours=2), tags={"customer": "7"}).enqueue("later").id
    )
    ids["unserved"] = named("images.resize", queue="bulk").enqueue("a.png").id
    named("images.resize", queue="bulk").enqueue_many([(f"{n}.png",) for n in range(30)])
    ids["hostile"] = named(HOSTILE, queue="<b>odd</b> queue").enqueue(HOSTILE).id
    failed = named("billing.charge").enqueue_many([(f"c{n}",) for n in range(4)])
    app.schedules.create(
        "nightly-report", named("reports.build"), cron="30 2 * * *", tz="Europe/Berlin", args=(3,)
    )
    app.schedules.create("heartbeat", named("mail.send", queue="mail"), every=3600, args=("ops",))
    app.schedules.pause("heartbeat")
    # So that something moves while one looks.
    app.schedules.create("digest", named("mail.send", queue="mail"), every=1, args=("all",))
    app.limits.set("stripe", concurrency=5, rate="100/m", burst=10)
    app.limits.set("per-tenant", concurrency=2, per="tenant")
    ids |= {"flow": _flow(app), "failed": failed[0].id}
    for run in failed:
        wait_until(lambda run=run: run.status() == "failed", "a failure")  # type: ignore[misc]
    return ids


def _flow(app: App) -> str:
    with app.flow("order-7") as flow:
        paid = flow.add(app.named("mail.send", queue="mail"), "start")
        parts = [flow.add(app.named("images.resize"), f"{n}.png", after=[paid]) for n in range(4)]
        bad = flow.add(app.named("billing.charge"), "c9", after=[paid])
        late = flow.add(app.named("mail.send", delay=7200), "late", after=parts)
        flow.add(app.named("mail.send"), "end", after=[late, bad], on_error="continue")
    return flow.id


@contextmanager
def proxied(target: str, prefix: str) -> Iterator[str]:
    """A proxy that puts `target` below `prefix`, and takes that off; the address with it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._pass_on(None)

        def do_POST(self) -> None:
            self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

        def _pass_on(self, body: bytes | None) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404, "another program's")
                return
            kept = {
                n: v for n, v in self.headers.items() if n.lower() not in ("host", "connection")
            }
            asked = urllib.request.Request(target + self.path.removeprefix(prefix), body, kept)
            try:
                answer = urllib.request.urlopen(asked, timeout=30)
            except urllib.error.HTTPError as error:
                answer = error
            with answer, suppress(OSError):  # the browser may have gone
                self.send_response(answer.status or 502)
                for name, value in answer.headers.items():
                    if name.lower() not in ("connection", "transfer-encoding"):
                        self.send_header(name, value)
                self.end_headers()
                while content := answer.read1():
                    self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{prefix}"
        server.shutdown()
