"""Token files: what is in them, what is refused, and that a change of one counts at once."""

import os
from pathlib import Path

import pytest

from raftwork.web.access import Role, Tokens, TokensRefused, read_tokens, sha256


def test_a_line_is_a_role_a_hash_and_a_name(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# ours\nviewer {sha256('v')}\n\nadmin {sha256('a')} zoe\n")
    found = read_tokens(str(file))
    assert [(v.name, v.role) for v in found.values()] == [
        ("viewer", Role.VIEWER),
        ("zoe", Role.ADMIN),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "root " + sha256("x"),
        "admin secret",
        "admin",
        f"admin {sha256('x')} a b",
        "admin " + "G" * 64,
    ],
)
def test_another_line_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"viewer {sha256('v')}\n{line}\n")
    with pytest.raises(TokensRefused, match=r"tokens:2: a line is ROLE SHA256 \[NAME\]"):
        read_tokens(str(file))


def test_a_token_that_is_taken_out_lets_nobody_in_any_more(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"viewer {sha256('v')}\nadmin {sha256('a')}\n")
    tokens = Tokens(str(file))
    assert tokens.visitor("a")
    file.write_text(f"viewer {sha256('v')}\n")
    os.utime(file, ns=(1, 1))
    assert tokens.visitor("a") is None
    assert tokens.visitor("v")
    file.write_text("nonsense\n")  # half written: as it was
    assert tokens.visitor("v")
    file.unlink()
    assert tokens.visitor("v") is None


def test_a_change_that_cannot_be_read_is_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever takes a token out, and slips, must not think that it is out."""
    file = tmp_path / "tokens"
    file.write_text(f"admin {sha256('a')}\n")
    tokens = Tokens(str(file))
    file.write_text("# gone\nadmim x\n")
    assert tokens.visitor("a")
    assert tokens.visitor("a")
    assert [r.getMessage().partition(" a line is")[0] for r in caplog.records] == [
        f"the tokens are as they were: {file}:2:"
    ]
