"""Network namespaces joined by a router of our own, which can be told to be a bad network.

Everything is inside namespaces made here, which end with the test; the machine's own network is not
touched. Needs root, iproute2 and /dev/net/tun, and nothing of the kernel's traffic control.
"""

import ctypes
import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

ROUTER = Path(__file__).with_name("router.py")
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN_WITHOUT_HEADER = 0x1001

_libc = ctypes.CDLL(None, use_errno=True)


class Impossible(Exception):
    """This machine or user cannot have such a network; the text says why."""


class Network:
    """A namespace for each name, with the address `addresses[name]` in it."""

    def __init__(self, *names: str) -> None:
        self.addresses = {name: f"10.97.0.{i}" for i, name in enumerate(names, 1)}
        self._devices: dict[str, int] = {}
        self._made: list[str] = []
        try:
            for name in names:
                self._make(name)
        except (OSError, subprocess.CalledProcessError) as error:
            self.close()
            raise Impossible(f"{error} {getattr(error, 'stderr', '')}") from error
        ends = [f"{self.addresses[name]}={device}" for name, device in self._devices.items()]
        self._router = subprocess.Popen(
            [sys.executable, ROUTER, *ends],
            pass_fds=list(self._devices.values()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def rule(
        self,
        source: str = "*",
        destination: str = "*",
        *,
        loss: float = 0.0,
        delay: float = 0.0,
        jitter: float = 0.0,
    ) -> None:
        """From now on packets of this direction fare so; names or `*`, times in ms."""
        assert self._router.stdin is not None and self._router.stdout is not None
        ends = (self.addresses.get(name, name) for name in (source, destination))
        self._router.stdin.write(f"{' '.join(ends)} {loss} {delay} {jitter}\n")
        assert self._router.stdout.readline() == "done\n"

    def cut(self, one: str, other: str) -> None:
        """Both directions."""
        self.rule(one, other, loss=1.0)
        self.rule(other, one, loss=1.0)

    def heal(self) -> None:
        self.rule()

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """This thread, and the threads and processes it starts in the block, are in there."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            self._enter(f"/run/netns/{self._space(name)}")
            try:
                yield
            finally:
                self._enter_descriptor(here)
        finally:
            os.close(here)

    def close(self) -> None:
        if router := getattr(self, "_router", None):
            router.kill()
            router.wait()
            router.stdin.close()
            router.stdout.close()
        for device in self._devices.values():
            os.close(device)
        for space in self._made:
            subprocess.run(["ip", "netns", "delete", space], check=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- inside -------------------------------------------------------------------------------

    def _space(self, name: str) -> str:
        return f"raftwork-{os.getpid()}-{name}"

    def _make(self, name: str) -> None:
        space = self._space(name)
        _ip("netns", "add", space)
        self._made.append(space)
        with self.inside(name):
            device = os.open("/dev/net/tun", os.O_RDWR)
            self._devices[name] = device
            request = struct.pack("16sH22x", b"rw0", _IFF_TUN_WITHOUT_HEADER)
            fcntl.ioctl(device, _TUNSETIFF, request)
        _ip("-n", space, "address", "add", f"{self.addresses[name]}/24", "dev", "rw0")
        for link in ("lo", "rw0"):
            _ip("-n", space, "link", "set", link, "up")

    def _enter(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            self._enter_descriptor(descriptor)
        finally:
            os.close(descriptor)

    @staticmethod
    def _enter_descriptor(descriptor: int) -> None:
        if _libc.setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
