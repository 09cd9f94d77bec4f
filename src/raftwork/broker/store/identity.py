"""Who this directory is: a name, an incarnation and the cluster it has joined.

`identity.json` is for people to read too. Its CRC is over the other fields in canonical form.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from raftwork.addresses import same_place
from raftwork.broker.store.files import replace_file
from raftwork.errors import OtherRelease, StoreError
from raftwork.release import RELEASE

#: The layout of the directory and of the store's own tables. An older one is brought up to date
#: when it is opened, a newer one is refused. The queue's tables have a version of their own.
FORMAT: Final = 1
FILE: Final = "identity.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """What `identity.json` holds."""

    name: str
    #: 16 random bytes made with the directory, and again when its contents were put aside.
    incarnation: bytes
    #: Empty until the replica has joined a cluster; never changed after.
    cluster_id: bytes
    #: The consensus protocol the log and the hard state are written in.
    consensus: str
    #: Every replica's name and its "host:port", as `--cluster` had it.
    cluster: Mapping[str, str]
    format: int = FORMAT
    #: Those of them that were found elsewhere since, and where.
    moved: Mapping[str, str] = field(default_factory=dict)
    #: Of raftwork, that opened the directory last; empty for 0.1.0.
    release: str = RELEASE

    @property
    def addresses(self) -> dict[str, str]:
        """Where each replica is to be found."""
        return {**self.cluster, **self.moved}


def _crc(fields: Mapping[str, object]) -> str:
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(canonical.encode()):08x}"


def save_identity(directory: Path, identity: Identity) -> None:
    """Replace `identity.json`, durably and whole. Raises OSError."""
    fields: dict[str, object] = {
        "format": identity.format,
        "release": identity.release,
        "name": identity.name,
        "incarnation": identity.incarnation.hex(),
        "cluster_id": identity.cluster_id.hex(),
        "consensus": identity.consensus,
        "cluster": dict(identity.cluster),
    }
    if identity.moved:
        fields["moved"] = dict(identity.moved)
    fields["crc"] = _crc(fields)
    replace_file(directory / FILE, (json.dumps(fields, indent=2) + "\n").encode())


def load_identity(directory: Path) -> Identity | None:
    """The directory's identity, or None if it has none.

    Raises StoreError if the file is damaged or written by a newer format.
    """
    path = directory / FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        fields = json.loads(text)
        if fields.pop("crc") != _crc(fields):
            raise ValueError("the checksum does not match")  # noqa: TRY301 - one answer for all
        if fields["format"] > FORMAT:
            wrote = fields.get("release") or "the newer release that wrote it"
            raise OtherRelease(
                f"{path} has format {fields['format']}, raftwork {RELEASE} reads up to {FORMAT}:"
                f" start this broker with raftwork {wrote} or later"
            )
        return Identity(
            name=str(fields["name"]),
            incarnation=bytes.fromhex(fields["incarnation"]),
            cluster_id=bytes.fromhex(fields["cluster_id"]),
            consensus=str(fields["consensus"]),
            cluster=dict(fields["cluster"]),
            format=int(fields["format"]),
            moved=dict(fields.get("moved", {})),
            release=str(fields.get("release", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"{path} is damaged ({error}): restore it from a backup, or move {directory} away and"
            " start with an empty directory, which joins its cluster again as a learner"
        ) from None


def admit(directory: Path, identity: Identity, asked: Identity, *, readdress: bool) -> Identity:
    """`identity` as it holds from here on, if this directory is what `asked` says.

    A replica that was found elsewhere may be named by either of its addresses, and stays where it
    was found. Raises StoreError if the directory belongs to another name, protocol or cluster
    mapping. With `readdress` the same names may have other addresses.
    """
    for what, option, held, wanted in (
        ("broker", "--name", identity.name, asked.name),
        ("protocol", "--consensus", identity.consensus, asked.consensus),
    ):
        if held != wanted:
            raise StoreError(
                f"{directory} belongs to {what} {held!r}, not {wanted!r}: give {option} {held}, or"
                f" another --data{_or_remove(identity)}"
            )
    if identity.cluster.keys() != asked.cluster.keys():
        raise StoreError(
            f"{directory} belongs to a cluster of {_names(identity.cluster)}, --cluster names"
            f" {_names(asked.cluster)}"
            + (_or_remove(identity) or ": a cluster keeps the names that it was formed with")
        )
    found = identity.addresses
    strange = [
        name
        for name, address in asked.cluster.items()
        if not any(same_place(address, known) for known in (identity.cluster[name], found[name]))
    ]
    if strange and not readdress:
        raise StoreError(
            f"{directory} belongs to the cluster {_mapping(found)}, not {_mapping(asked.cluster)};"
            f" if {_names(strange)} moved, --readdress accepts that"
        )
    moved = {
        name: address
        for name, address in identity.moved.items()
        if same_place(asked.cluster[name], identity.cluster[name])
    }
    return replace(identity, cluster=asked.cluster, moved=moved, release=RELEASE)


def _or_remove(identity: Identity) -> str:
    """A mistyped first start leaves a directory that nobody needs; "" once it may hold tasks."""
    if identity.cluster_id:
        return ""
    return (
        "; no cluster has been formed from it, so it holds no tasks: if the new options are right,"
        " remove it and start again"
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _mapping(cluster: Mapping[str, str]) -> str:
    return ",".join(f"{name}={address}" for name, address in sorted(cluster.items()))
