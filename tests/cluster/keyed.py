"""A cluster whose brokers have keys, and the keys of those who deal with it."""

import os
import signal
from pathlib import Path

from raftwork import App
from raftwork.broker.access.access_list import Grant
from raftwork.broker.access.edit_access import allowed, revoked, write_access
from raftwork.keys import Key, Role, new_key, write_key
from tests.cluster.harness import PATIENCE, Cluster


class KeyedCluster(Cluster):
    """As Cluster. The test itself is the admin `ops`; RAFTWORK_KEY must name its file by then."""

    @staticmethod
    def make_keys(directory: Path, names: tuple[str, ...]) -> Path:
        """The brokers' keys and that of `ops`; returns the file of the latter."""
        made = [new_key(name, [Role.PEER]) for name in names]
        brokers = {key.name: (key.public,) for key in made}
        made.append(new_key("ops", [Role.ADMIN], brokers=brokers))
        for key in made:
            write_key(key, str(directory / f"{key.name}.key"))
            _allow(directory / "access.toml", key)
        return directory / "ops.key"

    def new_key(self, name: str, *roles: Role, queues: tuple[str, ...] = ("*",)) -> Path:
        """Another key, which is not let in yet."""
        brokers = App(self.brokers).key
        assert brokers is not None
        made = new_key(name, roles, queues, brokers.brokers)
        path = self.directory / f"{name}.key"
        write_key(made, str(path))
        return path

    def allow(self, path: Path) -> None:
        """Let it in, from now on."""
        from raftwork.keys import read_key

        _allow(self.access, read_key(path))
        self.reload()

    def revoke(self, name: str) -> None:
        """Let it in no more."""
        write_access(str(self.access), revoked(self.access.read_text(), "", name))
        self.reload()

    def reload(self) -> None:
        """Have all brokers read their list again."""
        for name in self.names:
            if self[name].alive:
                os.kill(self[name].pid, signal.SIGHUP)

    @property
    def access(self) -> Path:
        return self.directory / "access.toml"

    def start(self, *names: str) -> None:
        for name in names or self.names:
            self.start_keyed(name)
        self.wait_for_leader()

    def start_keyed(self, name: str) -> None:
        key = self.directory / f"{name}.key"
        self.local.start_broker(name, "--key", str(key), "--access", str(self.access))

    def client(self, key: Path) -> App:
        return App(self.brokers, timeout=PATIENCE, key=key)


def _allow(access: Path, key: Key) -> None:
    text = access.read_text() if access.exists() else ""
    grant = Grant(key.name, key.roles, key.queues)
    write_access(str(access), allowed(text, str(access), grant, key.public))
