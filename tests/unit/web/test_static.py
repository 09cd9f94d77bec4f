"""The files of the page: what is others' is as published, and nothing comes from elsewhere."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from raftwork.web.application import static_files

ROOT = Path(__file__).parents[3]
STATIC = ROOT / "src/raftwork/web/static"
VENDORS = [STATIC / "vendor", ROOT / "tests/browser/vendor"]
OURS = {p: t.decode() for p, t in static_files().items() if not p.startswith("vendor/")}


@pytest.mark.parametrize("vendor", VENDORS, ids=["page", "tests"])
def test_what_is_others_is_what_npm_has_with_its_licence(vendor: Path) -> None:
    told = json.loads((vendor / "vendored.json").read_text())
    for name, package in told.items():
        assert package["integrity"].startswith("sha512-")
        assert "LICENSE" in package["files"]
        for file, digest in package["files"].items():
            content = (vendor / name / file).read_bytes()
            assert hashlib.sha256(content).hexdigest() == digest, f"{name}/{file}"
    there = {str(p.relative_to(vendor)) for p in vendor.rglob("*") if p.is_file()}
    listed = {f"{name}/{file}" for name, package in told.items() for file in package["files"]}
    assert there == listed | {"vendored.json"}


def test_nothing_is_loaded_from_elsewhere() -> None:
    for path, text in OURS.items():
        without = text.replace("http://www.w3.org/2000/svg", "")
        assert not re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", without), path
        assert "innerHTML" not in text and "unsafeHTML" not in text and "eval(" not in text, path
        assert not re.search(r"\bstyle=", text), path  # the policy refuses it


def test_every_import_is_there() -> None:
    for path, text in OURS.items():
        if path.endswith(".js"):
            for wanted in re.findall(r'from "(\.[^"]+)"', text):
                assert (STATIC / path).parent.joinpath(wanted).is_file(), (path, wanted)
    page = OURS["index.html"]
    for wanted in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert (STATIC.parent / wanted).is_file(), wanted


def test_what_is_for_readers_of_the_source_is_not_sent() -> None:
    for path in ("live.js", "app.css"):
        source, sent = (STATIC / path).read_text(), OURS[path]
        assert "// " in source or "/*" in source
        assert not re.search(r"^[ \t]*//|^[ \t]+\S|/\*", sent, re.MULTILINE), path
        code = [line.strip() for line in source.splitlines() if not line.strip().startswith("//")]
        if path.endswith(".js"):
            assert [line for line in sent.splitlines() if line] == [line for line in code if line]


def test_the_page_is_light() -> None:
    loaded = [
        content
        for path, content in static_files().items()
        if path.endswith((".js", ".css", ".html", ".svg"))
    ]
    assert sum(len(gzip.compress(content, 5)) for content in loaded) < 60_000
