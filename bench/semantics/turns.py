"""How long brokers' turns are: from so many milliseconds on, each is in its broker's log."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from raftwork.testing.processes import LocalCluster

#: Turns from so long on are noted, s.
_NOTED_S: Final = 0.002
_TURN: Final = re.compile(r"a turn took (\d+) ms, (\d+) ms of it in writing")
#: Raftwork's own handler folds lines that are alike into one a minute: here each is wanted.
_LOGGING: Final = """
version = 1
disable_existing_loggers = false

[handlers.stderr]
class = "logging.StreamHandler"

[root]
level = "INFO"
handlers = ["stderr"]
"""


@contextmanager
def noted() -> Iterator[Mapping[str, str]]:
    """The environment for brokers whose turns `longest` is to read."""
    with tempfile.TemporaryDirectory(prefix="raftwork-bench-log-") as directory:
        path = Path(directory, "log.toml")
        path.write_text(_LOGGING)
        yield {"RAFTWORK_LOG_CONFIG": str(path), "RAFTWORK_BROKER_SLOW_TURN": str(_NOTED_S)}


def turns(made: LocalCluster) -> dict[str, list[int]]:
    """Those of each broker that took so long, in order, ms."""
    return {
        name: [int(took) for took, _ in _TURN.findall(made.children[name].log.read_text())]
        for name in made.addresses
    }


def longest(made: LocalCluster, before: Mapping[str, list[int]]) -> dict[str, int]:
    """Each broker's longest turn since `turns` gave `before`, ms; 0 if none took long."""
    after = turns(made)
    return {name: max(after[name][len(before[name]) :], default=0) for name in after}
