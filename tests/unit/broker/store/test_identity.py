"""A directory belongs to one replica of one cluster, and to nobody else by accident."""

import json
from pathlib import Path

import pytest

from raftwork.broker.store.identity import _crc
from raftwork.broker.store.storage_errors import as_store_error
from raftwork.errors import StoreError
from tests.unit.broker.store.kit import THREE, entry, formed, log, open_at, turn

MOVED = THREE | {"b": "10.0.0.2:7701"}


def test_another_name_protocol_or_mapping_is_refused(directory: Path) -> None:
    formed(directory).close()
    with pytest.raises(StoreError, match="broker 'a', not 'b'"):
        open_at(directory, name="b")
    with pytest.raises(StoreError, match="protocol 'raft', not 'zab'"):
        open_at(directory, consensus="zab")
    with pytest.raises(StoreError, match=r"b=127.0.0.1:2.*not .*b=10.0.0.2:7701.*--readdress"):
        open_at(directory, cluster=MOVED)
    assert open_at(directory).damage is None


def test_readdress_takes_other_addresses_of_the_same_names(directory: Path) -> None:
    store = formed(directory)
    turn(store, entry(1))
    store.close()
    moved = open_at(directory, cluster=MOVED, readdress=True)
    assert log(moved) == [entry(1)]
    assert moved.incarnation == store.incarnation
    moved.close()
    open_at(directory, cluster=MOVED).close()


@pytest.mark.parametrize("readdress", [False, True])
def test_other_names_are_refused_and_no_flag_is_said_to_help(
    directory: Path, readdress: bool
) -> None:
    """X11: the error told people to give --readdress, also where that changes nothing."""
    formed(directory).close()
    with pytest.raises(StoreError, match="a, b, c, --cluster names a, b, c, d") as raised:
        open_at(directory, cluster=MOVED | {"d": "10.0.0.4:7701"}, readdress=readdress)
    assert "readdress" not in str(raised.value)


def test_a_directory_that_joined_no_cluster_may_be_removed_and_that_is_said(
    directory: Path,
) -> None:
    """A typo in the first `--cluster` left a directory that refused every other one."""
    open_at(directory).close()
    told = r"holds no tasks.*remove it and start again"
    with pytest.raises(StoreError, match=told):
        open_at(directory, cluster={"a": THREE["a"]})
    with pytest.raises(StoreError, match=told):
        open_at(directory, consensus="zab")
    formed(directory).close()
    with pytest.raises(StoreError, match="give --consensus raft, or another --data") as raised:
        open_at(directory, consensus="zab")
    assert "remove" not in str(raised.value)


def test_what_this_user_may_not_use_is_no_failed_disk(directory: Path) -> None:
    (directory.parent / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used: Not a directory"):
        open_at(directory.parent / "file" / "a")
    told = as_store_error(PermissionError(13, "Permission denied", "identity.json"))
    assert "this user may not use it" in str(told)


def test_a_replica_found_elsewhere_may_be_named_by_either_address(directory: Path) -> None:
    store = formed(directory)
    store.found("b", MOVED["b"])
    store.close()
    for named in (THREE, MOVED):
        again = open_at(directory, cluster=named)
        assert again.identity.addresses == MOVED
        again.close()
    with pytest.raises(StoreError, match="if b moved, --readdress"):
        open_at(directory, cluster=THREE)  # given up when the new one was named
    back = open_at(directory, cluster=THREE, readdress=True)
    assert back.identity.addresses == THREE


def test_the_same_address_written_otherwise_is_no_other(directory: Path) -> None:
    """It was refused until --readdress was given, as if somebody had moved."""
    loopback = {"a": "localhost:7701", "b": "127.0.0.1:7702", "c": "[::1]:7703"}
    store = open_at(directory, cluster=loopback)
    store.found("b", MOVED["b"])
    store.close()
    written = {"a": "127.0.0.1:7701", "b": "LOCALHOST:7702", "c": "[0:0:0:0:0:0:0:1]:7703"}
    again = open_at(directory, cluster=written)
    assert again.identity.addresses == written | {"b": MOVED["b"]}
    again.close()
    with pytest.raises(StoreError, match="if c moved"):
        open_at(directory, cluster=written | {"c": "127.0.0.1:7703"})


def test_what_readdress_changes_is_that_alone(directory: Path) -> None:
    """Who moves itself need not know that another did before."""
    store = formed(directory)
    store.found("b", MOVED["b"])
    store.close()
    mine = THREE | {"a": "10.0.0.1:7701"}
    again = open_at(directory, cluster=mine, readdress=True)
    assert again.identity.addresses == mine | {"b": MOVED["b"]}
    again.found("b", THREE["b"])
    assert again.identity.moved == {}, "it went back"


def test_databases_without_an_identity_are_refused(directory: Path) -> None:
    formed(directory).close()
    (directory / "identity.json").unlink()
    with pytest.raises(StoreError, match=r"no identity\.json"):
        open_at(directory)


def test_a_damaged_identity_says_what_to_do(directory: Path) -> None:
    formed(directory).close()
    path = directory / "identity.json"
    text = path.read_bytes()
    for broken in (b"", b"[]", b"{}", text[:50], text.replace(b'"a"', b'"b"'), b"\xff" + text):
        path.write_bytes(broken)
        with pytest.raises(StoreError, match=r"is damaged.*empty directory"):
            open_at(directory)


def test_a_newer_format_is_refused(directory: Path) -> None:
    formed(directory).close()
    path = directory / "identity.json"
    fields = json.loads(path.read_text())
    del fields["crc"]
    fields |= {"format": 2, "something": "new"}
    path.write_text(json.dumps(fields | {"crc": _crc(fields)}))
    with pytest.raises(
        StoreError,
        match=r"format 2, raftwork .* reads up to 1: start this broker with raftwork .* or later",
    ):
        open_at(directory)


def test_a_crash_before_the_first_database_is_no_damage(directory: Path) -> None:
    store = open_at(directory)
    store.close()
    incarnation = store.incarnation
    (directory / "CURRENT").unlink()
    again = open_at(directory)
    assert again.damage is None
    assert again.incarnation == incarnation
