"""The access list: read strictly, with errors that name the line."""

from pathlib import Path

import pytest

from raftwork.broker.access.access_list import (
    Grant,
    parse_access,
    read_access,
)
from raftwork.errors import AccessListRefused
from raftwork.keys import Role, encoded

A, B, C = (encoded(letter * 32) for letter in (b"a", b"b", b"c"))
LIST = f"""\
# who may do what
[keys.a]
role = "peer"
keys = ["{A}"]

[keys."über"]   # a worker
role = ["worker", "client"]
queues = ["mail.*", "bulk"]
keys = ["{B}", "{C}"]
tasks_per_second = 100
bytes_per_second = 1_000_000
"""


def test_everybody_in_it_is_known_by_each_key() -> None:
    found = parse_access(LIST, "access.toml")
    assert found.grants[A] == Grant("a", frozenset({Role.PEER}))
    assert not found.grants[A].confined
    worker = found.grants[B]
    assert worker is found.grants[C]
    assert worker == Grant(
        "über", frozenset({Role.WORKER, Role.CLIENT}), ("mail.*", "bulk"), 100, 1_000_000
    )
    assert worker.confined
    assert found.peer_keys("a") == (A,)
    assert found.peer_keys("über") == ()
    assert found.broker_keys == {"a": (A,)}


def test_the_digest_is_of_what_it_says_and_not_of_how() -> None:
    other = LIST.replace("# who may do what", "").replace('role = "peer"', 'role = ["peer"]')
    one, two = parse_access(LIST, "x"), parse_access(other, "y")
    assert one.digest == two.digest
    assert one.digest != parse_access(LIST.replace("bulk", "bulk2"), "x").digest


def test_a_name_without_keys_is_let_in_nowhere_and_is_still_known() -> None:
    found = parse_access(LIST.replace(f'keys = ["{A}"]', "keys = []"), "f")
    assert "a" in found.names
    assert "a" not in {grant.name for grant in found.grants.values()}
    assert found.peer_keys("a") == ()


@pytest.mark.parametrize(
    ("line", "old", "new", "why"),
    [
        (3, 'role = "peer"', 'rolle = "peer"', r"no field 'rolle'; the fields are"),
        (3, 'role = "peer"', 'role = "king"', "role must be one or more of"),
        (2, 'role = "peer"', "", "role must be one or more of"),
        (4, f'keys = ["{A}"]', f'keys = ["{A[:-1]}"]', "44 characters"),
        (4, f'keys = ["{A}"]', 'keys = [""]', "the public keys of a must be an array of strings"),
        (2, f'keys = ["{A}"]', "", "the public keys of a must be an array of strings"),
        (9, f'"{C}"]', f'"{A}"]', "the key of über is that of a, too"),
        (9, f'"{C}"]', f'"{C}", "{encoded(b"d" * 32)}"]', "has 3 keys, and may have 2"),
        (8, 'queues = ["mail.*", "bulk"]', "queues = 3", "queues must be an array of strings"),
        (10, "= 100", "= -1", "integer from 0"),
        (11, "= 1_000_000", "= true", "integer from 0"),
        (6, '[keys."über"]', '[keyz."über"]', "no table 'keyz' is known"),
        (6, '[keys."über"]', '[keys." "]', "no name"),
    ],
)
def test_an_error_names_the_line(line: int, old: str, new: str, why: str) -> None:
    assert LIST.count(old) == 1
    with pytest.raises(AccessListRefused, match=why) as refused:
        parse_access(LIST.replace(old, new), "my/access.toml")
    assert str(refused.value).startswith(f"my/access.toml, line {line}:")


def test_what_is_no_toml_is_refused_with_the_place() -> None:
    with pytest.raises(AccessListRefused, match=r"access.toml: .*line 3"):
        parse_access(LIST.replace('role = "peer"', "role = peer"), "access.toml")
    for text in ("keys = 3", "keys.a = 3"):
        with pytest.raises(AccessListRefused, match="line 1"):
            parse_access(text, "x")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AccessListRefused, match="cannot be read: No such file"):
        read_access(str(tmp_path / "none"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(AccessListRefused, match="UTF-8"):
        read_access(str(tmp_path / "binary"))
