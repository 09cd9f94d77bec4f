"""A hundred workers lose their leader at once: how soon the next one has them all, and how busy
that makes it.

The workers are the real agents over real sockets, in one process and without pools: a hundred
worker processes on this machine would measure how Python starts. The leader's loop lag is told from
outside, by what a Ping takes while they come back: never less than its loop was away.
"""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import zmq

from bench.harness import ROOT, Figures, active_workers, cluster, leader, wait_until
from raftwork.features import from_broker, to_broker
from raftwork.messages import FRAME_BYTES_MAX, Ping
from raftwork.messages import Leader as LeaderNews
from raftwork.net.dialling import Dial
from raftwork.net.links import Link, LinkOptions
from raftwork.net.polling import SocketPoller
from raftwork.testing.processes import LocalCluster
from raftwork.worker.agent import Agent, Identity, Load
from raftwork.worker.main import now_ms

COUNT = 100
ROUNDS = 5
#: Between two looks of an agent at its sockets, s.
_LOOK = 0.01


def main() -> Figures:
    figures = Figures("herd")
    rejoined, lags = [], []
    for _ in range(ROUNDS):
        with cluster(workers=0) as made, agents(made):
            wait_until(lambda made=made: active_workers(made) >= COUNT, 30, "all agents")  # type: ignore[misc]
            seconds, lag = lose_leader(made)
            rejoined.append(seconds)
            lags.append(lag)
    what = f"{COUNT} agents, kill -9 of the leader, {ROUNDS} times"
    figures.add("next leader active until all are with it, most", max(rejoined), "s", what)
    figures.add("longest Ping of the next leader meanwhile", max(lags) * 1000, "ms", what)
    figures.save()
    return figures


def lose_leader(made: LocalCluster) -> tuple[float, float]:
    """Seconds from the next leader's activation until it has all, and the longest Ping since."""
    old = leader(made)
    assert old is not None
    with zmq.Context() as context:
        probes = {n: _probe(context, a) for n, a in made.addresses.items() if n != old}
        made.children[old].kill()
        active = None
        while active is None:
            for name, probe in probes.items():
                if _ping(probe)[1]:
                    active = name
        began, longest, look_at = time.monotonic(), 0.0, 0.0
        while True:
            longest = max(longest, _ping(probes[active])[0])
            now = time.monotonic()
            if now >= look_at:  # asking for a status is work for the leader, too
                if active_workers(made) >= COUNT:
                    break
                look_at = now + 0.1
            assert now < began + 30, "they never came"
            time.sleep(0.002)
        for probe in probes.values():
            probe.close(linger=0)
        return time.monotonic() - began, longest


def _probe(context: "zmq.Context[zmq.Socket[bytes]]", address: str) -> "zmq.Socket[bytes]":
    probe = context.socket(zmq.DEALER)
    probe.connect(f"tcp://{address}")
    return probe


def _ping(probe: "zmq.Socket[bytes]") -> tuple[float, bool]:
    """Seconds until the answer, and whether it is that of the activated leader."""
    asked = time.monotonic()
    probe.send(to_broker.encode(Ping()))
    while True:
        if not probe.poll(10_000):
            raise TimeoutError("a broker does not answer")
        news = from_broker.decode(probe.recv())
        if isinstance(news, LeaderNews):
            return time.monotonic() - asked, news.active


@contextmanager
def agents(made: LocalCluster) -> Iterator[None]:
    """COUNT agents in a process of their own."""
    addresses = ",".join(made.addresses.values())
    command = [sys.executable, "-m", "bench.herd", addresses]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.kill()


def run_agents(brokers: list[str]) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 4_096)
    herd: list[tuple[Agent, dict[str, Link]]] = []
    for number in range(COUNT):
        me = Identity(f"w{number}", secrets.token_bytes(16), "bench", os.getpid(), ("default",))
        agent = Agent(me, list(brokers), 2, now_ms(), Random())
        agent.sample(Load(0.1, 0.1, 0.1))
        herd.append((agent, {address: _link(context, address) for address in brokers}))
    while True:
        for agent, links in herd:
            live(agent, links)
        time.sleep(_LOOK)


def _link(context: "zmq.Context[zmq.Socket[bytes]]", address: str) -> Link:
    link = Link(context, address, LinkOptions(FRAME_BYTES_MAX), SocketPoller())
    link.dial(Dial(address, None, f"tcp://{address}", ipv6=False))
    return link


def live(agent: Agent, links: dict[str, Link]) -> None:
    now = now_ms()
    for address, link in links.items():
        for up in link.changes(now):
            if isinstance(up, bool):
                (agent.link_made if up else agent.link_lost)(address, now)
        for frame in link.frames():
            agent.receive(address, from_broker.decode(frame), now)
    if now < agent.wake_at:
        return
    for address, message in agent.turn(now).send:
        if not links[address].send(to_broker.encode(message)):
            agent.link_lost(address, now)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_agents(sys.argv[1].split(","))
    main()
