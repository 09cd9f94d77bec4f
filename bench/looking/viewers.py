"""People who look at the dashboard, and a Prometheus: `python -m bench.looking.viewers N URL …`.

Each does what a browser with the page open does, but draws nothing: it asks for what the page is
made of as often as static/live.js does. The scraper takes the metrics of every URL; the viewers
look at the first. It is one process at the lowest priority, as they would be on other machines. It
goes on until its standard input ends, and prints what it did as one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from bench.harness import ROOT

#: Between two scrapes, s: three times as often as Prometheus does unless it is told otherwise.
SCRAPE_S: Final = 5.0


class Source(NamedTuple):
    """A document that a page shows."""

    path: str
    every_s: float  # how often it is asked for while there is no stream


_STATUS: Final = Source("overview", 1.0)
#: By page: what it needs, besides the status that every page has.
PAGES: Final[dict[str, tuple[Source, ...]]] = {
    "overview": (Source("history", 5.0), Source("queues", 2.0)),
    "tasks": (Source("tasks?q=&limit=50", 2.0),),
    "queues": (Source("queues", 1.0),),
    "workers": (Source("workers", 1.0),),
    "failures": (Source("failures", 5.0),),
    "schedules": (Source("schedules", 2.0),),
    "flows": (Source("flows?limit=50", 3.0),),
    "limits": (Source("limits", 2.0),),
    "cluster": (Source("cluster", 1.0),),
}


@dataclass(slots=True)
class Done:
    """What they did so far."""

    asked: int = 0
    failed: int = 0
    scraped: int = 0
    received_bytes: int = 0


class Connection:
    """One that is kept, as a browser's. A request after the other."""

    def __init__(self, url: str, done: Done) -> None:
        self._at, self._done = urlsplit(url), done
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> bytes | None:
        """The body, as it was sent; None if that did not come to anything."""
        try:
            async with asyncio.timeout(10):
                return await self._get(path)
        except (OSError, EOFError, ValueError, TimeoutError):
            self.close()
            self._done.failed += 1
            return None

    async def _get(self, path: str) -> bytes:
        if self._open is None:
            assert self._at.hostname is not None
            self._open = await asyncio.open_connection(self._at.hostname, self._at.port)
        reader, writer = self._open
        asked = f"GET {path} HTTP/1.1\r\nHost: {self._at.netloc}\r\nAccept-Encoding: gzip\r\n\r\n"
        writer.write(asked.encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        if " 200 " not in head.partition("\r\n")[0]:
            raise ValueError(head)
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        body = await reader.readexactly(length)
        self._done.received_bytes += len(head) + length
        return body

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


async def view(url: str, page: str, done: Done) -> None:
    """Keep what a page shows up to date, without end."""
    connection = Connection(url, done)
    sources = (_STATUS, *PAGES[page])
    due = dict.fromkeys(sources, time.monotonic())
    while True:
        source = min(due, key=lambda each: due[each])
        await asyncio.sleep(max(0.0, due[source] - time.monotonic()))
        if await connection.get(f"/api/v1/{source.path}") is not None:
            done.asked += 1
        due[source] = time.monotonic() + source.every_s


async def scrape(urls: Sequence[str], done: Done) -> None:
    """As Prometheus does, without end."""
    connections = [Connection(url, done) for url in urls]
    while True:
        for connection in connections:
            if await connection.get("/metrics") is not None:
                done.scraped += 1
            connection.close()
        await asyncio.sleep(SCRAPE_S)


async def _main(count: int, urls: Sequence[str]) -> None:
    done, pages = Done(), list(PAGES)
    looking = [
        asyncio.create_task(view(urls[0], pages[n % len(pages)], done)) for n in range(count)
    ]
    looking.append(asyncio.create_task(scrape(urls, done)))
    while done.asked < count or not done.scraped:
        await asyncio.sleep(0.01)
        if done.failed > 100:
            sys.exit(f"{done.failed} requests failed: is there a dashboard at {urls[0]}?")
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for each in looking:
        each.cancel()
    print(json.dumps(asdict(done)), flush=True)


@contextmanager
def viewing(urls: Sequence[str], count: int, total: Done) -> Iterator[None]:
    """So many viewers of the first of these, each of which has seen its page; and the scraper.

    Adds what they did to `total`.
    """
    command = [sys.executable, "-m", "bench.looking.viewers", str(count), *urls]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin is not None and process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the viewers did not come to see anything")
        yield
        process.stdin.close()
        for name, number in json.loads(process.stdout.readline()).items():
            setattr(total, name, getattr(total, name) + number)
    finally:
        process.kill()
        process.communicate()


def cpu_s(pid: int) -> float:
    """CPU time of a process without its children, by the scheduler's own count."""
    spent_ns = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has ended
            spent_ns += int((thread / "schedstat").read_text().split()[0])
    return spent_ns / 1e9


if __name__ == "__main__":
    os.nice(19)
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(int(sys.argv[1]), sys.argv[2:]))
