"""A bad network: carries IP packets between TUN devices, and delays, loses and reorders them.

`python router.py ADDRESS=DESCRIPTOR …`; each line on stdin is a rule for one direction:
`SOURCE DESTINATION LOSS DELAY JITTER`, addresses or `*`, a share, and two times in ms. Later rules
win. A packet's delay is DELAY plus up to JITTER at random, so jitter reorders.
"""

import heapq
import os
import random
import select
import socket
import sys
import time
from typing import NamedTuple

PACKET_MAX = 65_536


class Rule(NamedTuple):
    source: str
    destination: str
    loss: float
    delay: float
    jitter: float

    def applies(self, source: str, destination: str) -> bool:
        return self.source in ("*", source) and self.destination in ("*", destination)


class Router:
    def __init__(self, devices: dict[str, int]) -> None:
        self._devices = devices
        self._rules: list[Rule] = []
        self._flying: list[tuple[float, int, int, bytes]] = []  # due, order, device, packet
        self._order = 0

    def run(self) -> None:
        """Until stdin ends."""
        ready = [*self._devices.values(), sys.stdin.fileno()]
        while True:
            pause = max(0.0, self._flying[0][0] - time.monotonic()) if self._flying else None
            for descriptor in select.select(ready, [], [], pause)[0]:
                if descriptor == sys.stdin.fileno():
                    if not (line := sys.stdin.readline()):
                        return
                    self._obey(line)
                else:
                    self._accept(os.read(descriptor, PACKET_MAX))
            now = time.monotonic()
            while self._flying and self._flying[0][0] <= now:
                _, _, device, packet = heapq.heappop(self._flying)
                os.write(device, packet)

    def _obey(self, line: str) -> None:
        source, destination, loss, delay, jitter = line.split()
        self._rules.insert(0, Rule(source, destination, float(loss), float(delay), float(jitter)))
        print("done", flush=True)

    def _accept(self, packet: bytes) -> None:
        if packet[0] >> 4 != 4:
            return  # not IPv4: the kernel's own chatter
        source, destination = map(socket.inet_ntoa, (packet[12:16], packet[16:20]))
        device = self._devices.get(destination)
        if device is None:
            return
        due = time.monotonic()
        rule = next((rule for rule in self._rules if rule.applies(source, destination)), None)
        if rule is not None:
            if random.random() < rule.loss:
                return
            due += (rule.delay + random.random() * rule.jitter) / 1000
        self._order += 1
        heapq.heappush(self._flying, (due, self._order, device, packet))


if __name__ == "__main__":
    Router({a: int(fd) for a, _, fd in (text.partition("=") for text in sys.argv[1:])}).run()
