"""Reconnects addresses that libzmq may have silently abandoned. Sans-IO.

libzmq tries to reach an address again and again, except once its other end broke the protocol of
the wire: with a frame over the limit, or because another program had that port for a while. Then it
stops for good and does not say so. So an address that is down for long is disconnected and
connected again, whatever the cause.
"""

#: How long (ms) a connection may stay away before its address is connected to anew.
PATIENCE_MS = 3_000


class Reconnects:
    """The addresses that are not connected now. Times are milliseconds on a monotonic clock."""

    def __init__(self) -> None:
        self._due: dict[str, int] = {}

    def down(self, address: str, now: int) -> None:
        """It is being connected to from now on: its connection was asked for, or lost."""
        self._due[address] = now + PATIENCE_MS

    def up(self, address: str) -> None:
        """It is connected."""
        self._due.pop(address, None)

    @property
    def away(self) -> list[str]:
        """The addresses that are not connected."""
        return list(self._due)

    def due(self, now: int) -> list[str]:
        """Drain the addresses to disconnect from and connect to again."""
        due = [address for address, at in self._due.items() if now >= at]
        for address in due:
            self.down(address, now)
        return due
