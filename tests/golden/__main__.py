"""`python -m tests.golden`: write the golden files of this release, once.

Later releases must read them for as long as they run that release's level. Until the release is
out, `--again` writes them anew.
"""

import gzip
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from raftwork.broker.store.database import Opener
from raftwork.broker.store.options import StoreOptions
from raftwork.broker.store.snapshots import write_snapshot
from raftwork.release import LEVELS, RELEASE
from tests.golden.shape import (
    HERE,
    apply,
    entries,
    fill,
    history,
    pack_directory,
    records,
    write_json,
)


@click.command()
@click.option("--again", is_flag=True, help="Replace them: the release is not out yet.")
def main(again: bool) -> None:
    """Write tests/golden/RELEASE."""
    target = HERE / RELEASE
    if target.exists() and not again:
        sys.exit(f"{target} is there: golden files never change once the release is out")
    target.mkdir(exist_ok=True)
    write_json(target / "records.json", records())
    write_json(target / "history.json", {"level": LEVELS.most, **history()})
    with TemporaryDirectory() as scratch:
        directory = Path(scratch) / "data"
        store = fill(directory, "a", entries())
        apply(store)
        database = store._live.path
        store.close()
        made = Path(scratch) / "snapshot.db"
        opener = Opener(checksums=True, options=StoreOptions())
        snapshot = write_snapshot(database, made, opener, lambda: False)
        (target / "snapshot.db.gz").write_bytes(gzip.compress(made.read_bytes(), mtime=0))
        at = list(snapshot.at)
        facts = {"at": at, "size": snapshot.size, "digest": snapshot.digest.hex()}
        write_json(target / "snapshot.json", facts)
        pack_directory(directory, target / "directory.tar.gz")
    print(f"{target}: written")


if __name__ == "__main__":
    main()
