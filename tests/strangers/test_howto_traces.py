"""Traces over a failover, and Sentry's events, as their page prints them, from forked processes."""

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.strangers.place import Place, blocks

PAGE = blocks("howto-traces.md")
Span = dict[str, Any]


def write(place: Place) -> None:
    for _, title, text in PAGE:
        if title:
            place.write(title, text)


def spans(text: str) -> dict[str, list[Span]]:
    """What the console exporter wrote among other lines, by name."""
    found: dict[str, list[Span]] = {}
    for each in re.findall(r"^\{\n.*?^\}$", text, re.DOTALL | re.MULTILINE):
        span = json.loads(each)
        found.setdefault(span["name"], []).append(span)
    return found


def test_a_task_and_its_retry_are_one_trace_though_the_leader_is_killed_between(
    place: Place,
) -> None:
    write(place)
    brokers = place.brokers()
    (commands,) = [text.splitlines() for language, _, text in PAGE if language == "sh"]
    place.write("traced.py", (place.directory / "traced.py").read_text().replace("=1)", "=3)"))
    worker = place.start(f"{commands[0]} --concurrency 2", "worker")
    order = place.start(commands[1], "order")
    place.wait_until(lambda: "failed and is tried again" in worker.text, "the first attempt")
    brokers[place.leader()].kill()
    place.wait_until(lambda: order.code is not None, "the second attempt")
    assert order.code == 0 and "3\n" in order.text, order.text
    assert worker.stop() == 0
    sent, ran = spans(order.text), spans(worker.text)["process sums"]
    (request,), (send,) = sent["order"], sent["send sums"]
    one, two = sorted(ran, key=lambda span: int(span["attributes"]["raftwork.task.attempt"]))
    assert send["parent_id"] == request["context"]["span_id"]
    assert one["parent_id"] == two["parent_id"] == send["context"]["span_id"]
    traces = {span["context"]["trace_id"] for span in (request, send, one, two)}
    assert len(traces) == 1
    assert [link["context"]["span_id"] for link in two["links"]] == [
        send["context"]["span_id"],
        one["context"]["span_id"],
    ]
    assert (one["attributes"]["error.type"], one["status"]["status_code"]) == (
        "ValueError",
        "ERROR",
    )


@contextmanager
def sentry() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A DSN, and the events that come there."""
    events: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            lines = body.split(b"\n")
            if json.loads(lines[1])["type"] == "event":
                events.append(json.loads(lines[2]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://key@127.0.0.1:{server.server_port}/1", events
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_failed_task_is_one_event_although_its_process_ends_at_once(alone: Place) -> None:
    write(alone)
    with sentry() as (dsn, events):
        alone.env["SENTRY_DSN"] = dsn
        worker = alone.worker("--concurrency 1 --max-tasks-per-child 1", target="reported:app")
        call = "from reported import charge; charge.enqueue(250).result(timeout=60)"
        done = alone.sh(f"SENTRY_DSN= python -c '{call}'")
        assert done.code == 1 and "no card for 250" in done.err, done
        assert worker.stop() == 0
    (event,) = events
    assert event["transaction"] == "reported.charge"
    assert event["contexts"]["raftwork"]["attempt"] == 2
    assert event["exception"]["values"][0]["value"] == "no card for 250"
