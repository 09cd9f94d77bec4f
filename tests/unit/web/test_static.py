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
#: Also in what is minified.
_IMPORT = r'\b(?:import|export)\b[^"();]*?from ?"(\.[^"]+)"'
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
            for wanted in re.findall(r'(?:from |import\()"(\.[^"]+)"', text):
                assert (STATIC / path).parent.joinpath(wanted).is_file(), (path, wanted)
    page = OURS["index.html"]
    for wanted in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert (STATIC.parent / wanted).is_file(), wanted


def _loaded(path: str, found: dict[str, bytes]) -> dict[str, bytes]:
    """A file of the page, and all that it has the browser load before it runs."""
    if path not in found:
        found[path] = static_files()[path]
        text = found[path].decode()
        for wanted in re.findall(_IMPORT, text):
            _loaded(str((Path("/") / path).parent.joinpath(wanted).resolve())[1:], found)
    return found


def _pages() -> dict[str, str]:
    """Where the code of each page is."""
    return dict(re.findall(r'  (\w+): page\(.*import\("\./([^"]+)"\)', OURS["pages.js"]))


@pytest.mark.parametrize("page", _pages())
def test_a_page_is_light_whichever_is_opened(page: str) -> None:
    loaded: dict[str, bytes] = {}
    for path in ("index.html", *re.findall(r'(?:src|href)="static/([^"]+)"', OURS["index.html"])):
        _loaded(path, loaded)
    _loaded(_pages()[page], loaded)
    assert {"app.js", "app.css", "parts.js", "vendor/lit-html-3.3.3/lit-html.js"} <= set(loaded)
    assert sum(len(gzip.compress(content, 5)) for content in loaded.values()) < 60_000


def test_every_page_is_one_of_the_table() -> None:
    files = {path for path in OURS if path.startswith("pages/")}
    assert set(_pages().values()) == files
