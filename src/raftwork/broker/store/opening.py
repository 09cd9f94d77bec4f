"""Opening a data directory: which replica owns it, and what is done if it cannot be trusted."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from raftwork.broker.store.database import Opener
from raftwork.broker.store.directory import Directory
from raftwork.broker.store.files import DirectoryLock, sync_directory
from raftwork.broker.store.generation import Generation, create_generation
from raftwork.broker.store.identity import Identity, admit, load_identity, save_identity
from raftwork.broker.store.options import StoreOptions
from raftwork.broker.store.snapshots import CreateMachine
from raftwork.broker.store.storage_errors import as_store_error
from raftwork.broker.store.store import Parts, Store
from raftwork.broker.store.watermark import Promised, create_promised
from raftwork.errors import StoreDamaged, StoreError


def _random_incarnation() -> bytes:
    return os.urandom(16)


def open_store(
    directory: Path,
    *,
    name: str,
    consensus: str,
    cluster: Mapping[str, str],
    create_machine: CreateMachine,
    readdress: bool = False,
    checksums: bool = True,
    options: StoreOptions | None = None,
    new_incarnation: Callable[[], bytes] = _random_incarnation,
) -> Store:
    """Open the data directory of replica `name`, or make it (with its parents).

    `cluster` maps every replica's name to its "host:port"; with `readdress` the addresses may be
    others than before. `create_machine` makes the machine's tables in a new database, and brings
    those of an older format up to date, inside a transaction. `checksums` says whether a new
    database gets page checksums.

    Damaged contents are put aside and the replica starts over under a new incarnation, as a
    learner of the cluster it belonged to; `Store.damage` then says why. Raises StoreDamaged if it
    is the only replica, and StoreError if the directory is open already, belongs to another
    replica, cluster or protocol, or cannot be used.
    """
    asked = Identity(
        name=name,
        incarnation=new_incarnation(),
        cluster_id=b"",
        consensus=consensus,
        cluster=dict(cluster),
    )
    assert name in cluster and len(asked.incarnation) == 16
    try:
        # Once, and nowhere else: all paths of the store are made from this one, and are opened long
        # after the current directory may have changed. SQLite wants absolute ones as URIs.
        directory = Path(os.path.realpath(directory))
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = DirectoryLock(directory)
        try:
            opener = Opener(checksums, options or StoreOptions())
            return _open_locked(
                Directory(directory), lock, opener, create_machine, asked, readdress
            )
        except BaseException:
            lock.release()
            raise
    except OSError as error:
        found = isinstance(error, FileExistsError)  # by mkdir, which does not mind a directory
        why = "it is no directory" if found else error.strerror or error
        raise StoreError(f"{directory} cannot be used: {why}") from error
    except Exception as error:
        meaning = as_store_error(error)
        if meaning is None or str(directory) in str(meaning):
            raise
        raise type(meaning)(f"{directory}: {meaning}") from error


def _open_locked(
    directory: Directory,
    lock: DirectoryLock,
    opener: Opener,
    create_machine: CreateMachine,
    asked: Identity,
    readdress: bool,
) -> Store:
    identity = _identify(directory, asked, readdress)
    damage: str | None = None
    try:
        number = _trusted(directory, identity)
        if number is None:
            number = _create(directory, opener, create_machine)
        promised, generation = _open_generation(directory, number, opener, create_machine)
    except StoreDamaged as error:
        damage = str(error)
        identity = _start_over(directory, identity, asked.incarnation, damage)
        number = _create(directory, opener, create_machine)
        promised, generation = _open_generation(directory, number, opener, create_machine)
    directory.clear_damage()
    directory.remove_leftovers(number)
    return Store(
        Parts(
            directory=directory,
            lock=lock,
            opener=opener,
            create_machine=create_machine,
            promised=promised,
            identity=identity,
            generation=generation,
            damage=damage,
        )
    )


def _identify(directory: Directory, asked: Identity, readdress: bool) -> Identity:
    held = load_identity(directory.path)
    if held is None:
        if directory.generations():
            raise StoreError(
                f"{directory.path} has databases but no identity.json: restore it from a backup, or"
                " move the directory away and start with an empty one"
            )
        sync_directory(directory.path.parent)
        save_identity(directory.path, asked)
        return asked
    identity = admit(directory.path, held, asked, readdress=readdress)
    if identity != held:
        save_identity(directory.path, identity)
    return identity


def _trusted(directory: Directory, identity: Identity) -> int | None:
    """The live generation's number; None if the directory is blank. Raises StoreDamaged."""
    number = directory.current()
    reason = directory.damage(number)
    if reason is not None:
        raise StoreDamaged(reason)
    if number is None and identity.cluster_id:
        raise StoreDamaged("CURRENT is missing")
    return number


def _open_generation(
    directory: Directory, number: int, opener: Opener, create_machine: CreateMachine
) -> tuple[Promised, Generation]:
    promised = Promised(directory.promised)
    try:
        return promised, _up_to_date(
            Generation(directory.database(number), number, opener, promised), create_machine
        )
    except BaseException as error:
        promised.close()
        meaning = as_store_error(error)
        if meaning is None or meaning is error:
            raise
        raise meaning from error


def _up_to_date(generation: Generation, create_machine: CreateMachine) -> Generation:
    try:
        generation.bring_up_to_date(create_machine)
    except BaseException:
        generation.close(clean=False)
        raise
    return generation


def _start_over(
    directory: Directory, identity: Identity, incarnation: bytes, damage: str
) -> Identity:
    """Put damaged contents aside and become another incarnation of the same cluster's member."""
    if len(identity.cluster) == 1:
        raise StoreDamaged(
            f"the data of the only replica, in {directory.path}, are damaged: {damage}."
            " Nothing was changed"
        )
    # The mark stands until the new generation is live, so that a crash leads back to here. The new
    # incarnation comes before it: with the old one it would still count as a voter.
    suspect = directory.suspect()
    if directory.damage(suspect) is None:
        directory.mark_damaged(suspect, damage)
    identity = replace(identity, incarnation=incarnation)
    save_identity(directory.path, identity)
    directory.put_aside(suspect)
    return identity


def _create(directory: Directory, opener: Opener, create_machine: CreateMachine) -> int:
    """A fresh generation, live when this returns."""
    number = directory.next_number()
    directory.remove(number)
    create_generation(directory.database(number), opener, create_machine)
    create_promised(directory.promised)
    directory.set_current(number)
    return number
