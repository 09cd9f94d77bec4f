"""One peer measured once, in a process of its own: no two clients share an interpreter.

    python -m bench.peers.side bench.peers.etcd '{"seconds": 2, "kills": 1, "only": ["enqueue"]}'

It prints one JSON object: what the peer is, each measurement's value, and what share of the
machine's CPUs others took meanwhile.
"""

import json
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from bench.harness import Strangers
from bench.peers.measures import Effort, Running


def main(module: str, asked: str) -> None:
    options = json.loads(asked)
    effort = Effort(options["seconds"], options["kills"])
    # Only here: what others' clients need is not there for every peer.
    start: Callable[[Path], AbstractContextManager[Running]]
    start = import_module(module).start
    samples: dict[str, dict[str, object]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="bench-peer-") as directory,
        start(Path(directory)) as running,
    ):
        strangers = Strangers()
        for each in options["only"]:
            if measure := running.measures.get(each):
                samples[each] = asdict(measure(effort))
        said = {"versions": running.versions, "others": strangers.share(), "samples": samples}
    print(json.dumps(said))


if __name__ == "__main__":
    # An end by SIGTERM, too, goes through the cleaning up.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    main(*sys.argv[1:])
