"""People who look at the dashboard, and a Prometheus: `python -m bench.looking.viewers N URL …`.

Each does what a browser with the page open does, but draws nothing: it holds the stream, asks for
what its page is made of when that is another than it was, and without a stream as often as it can
change (static/live.js). The scraper takes the metrics of every URL; the viewers look at the first.
It is one process at the lowest priority, as they would be on other machines. It goes on until its
standard input ends, and prints what it did as one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from bench.harness import ROOT
from raftwork.web.application import static_files

#: Between two scrapes, s: three times as often as Prometheus does unless it is told otherwise.
SCRAPE_S: Final = 5.0


#: What a stream has not told of is asked for so often all the same, s.
SELDOM_S: Final = 15.0


class Source(NamedTuple):
    """A document that a page shows."""

    path: str
    every_s: float  # how often it is asked for at most, and without a stream

    @property
    def noun(self) -> str:
        """What is asked for, without how."""
        return self.path.partition("?")[0]


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
    told: int = 0  # by streams, that something is another
    received_bytes: int = 0
    cpu_s: float = 0.0  # of the viewers themselves: on a machine of their own nobody pays for it


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

    async def stream(self, path: str) -> AsyncIterator[set[str]]:
        """The words of each `changed` (web/stream), until it ends."""
        assert self._at.hostname is not None
        reader, writer = await asyncio.open_connection(self._at.hostname, self._at.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._at.netloc}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise ValueError(head)
        text = ""
        while length := int(await reader.readline() or b"0", 16):  # it comes in chunks
            text += (await reader.readexactly(length + 2))[:-2].decode()
            self._done.received_bytes += length
            *messages, text = text.replace("\r\n", "\n").split("\n\n")
            for message in messages:
                name, _, data = message.rpartition("\ndata: ")
                if "event: changed" in name:
                    yield set(json.loads(data)["changed"])

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


def shows(live: str) -> dict[str, set[str]]:
    """What each document shows, in the stream's words, by live.js; empty without a stream."""
    _, _, said = live.partition("const SHOWS = {")
    found = re.findall(r"(\w+): \[([^\]]*)\]", said.partition("};")[0])
    return {noun: set(re.findall(r"\w+", words)) for noun, words in found}


class Viewer:
    """One page, kept up to date."""

    def __init__(self, url: str, page: str, done: Done) -> None:
        self._url, self._done = url, done
        self._shows = shows(static_files()["live.js"].decode())
        self._due = dict.fromkeys((_STATUS, *PAGES[page]), time.monotonic())
        self._asked = dict.fromkeys(self._due, 0.0)
        self._told = asyncio.Event()
        self._streams = False

    async def look(self) -> None:
        """Without end."""
        connection = Connection(self._url, self._done)
        while True:
            source = min(self._due, key=lambda each: self._due[each])
            self._told.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._due[source] - time.monotonic())):
                    await self._told.wait()
                continue
            self._asked[source] = time.monotonic()
            if await connection.get(f"/api/v1/{source.path}") is not None:
                self._done.asked += 1
            is_told = self._streams and source.noun in self._shows
            self._due[source] = self._asked[source] + (SELDOM_S if is_told else source.every_s)

    async def listen(self) -> None:
        """To the stream, if there is one, without end."""
        if not self._shows:
            return
        connection = Connection(self._url, self._done)
        async for words in connection.stream("/api/v1/stream?topics=events,changed"):
            self._streams = True
            self._done.told += 1
            for source in self._due:
                if self._shows.get(source.noun, set()) & words:
                    self._due[source] = min(self._due[source], self._asked[source] + source.every_s)
            self._told.set()
        raise RuntimeError("the stream has ended")


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
    viewers = [Viewer(urls[0], pages[n % len(pages)], done) for n in range(count)]
    looking = [asyncio.create_task(work) for v in viewers for work in (v.look(), v.listen())]
    looking.append(asyncio.create_task(scrape(urls, done)))
    while done.asked < count or not done.scraped:
        await asyncio.sleep(0.01)
        if done.failed > 100:
            sys.exit(f"{done.failed} requests failed: is there a dashboard at {urls[0]}?")
    print("ready", flush=True)
    began = time.process_time()
    await asyncio.to_thread(sys.stdin.read)
    for each in looking:
        if each.done():
            each.result()  # it has failed: nobody would have looked
        each.cancel()
    done.cpu_s = time.process_time() - began
    print(json.dumps(asdict(done)), flush=True)


@contextmanager
def viewing(urls: Sequence[str], count: int, total: Done) -> Iterator[None]:
    """So many viewers of the first of these, each of which has seen its page; and the scraper.

    Adds what they did to `total`.
    """
    command = [sys.executable, "-m", "bench.looking.viewers", str(count), *urls]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the viewers did not come to see anything")
            yield
            told, _ = process.communicate()
        finally:
            process.kill()
    for name, number in json.loads(told).items():
        setattr(total, name, getattr(total, name) + number)


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
