"""The links at the top, the packages below src and what is built of them are the same."""

import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "raftwork"
#: The parts of the house that stand at the door.
LINKS = ("broker", "worker", "consensus", "cli")


def sources() -> set[str]:
    """Every file of the package, as a wheel names it."""
    files = (path for path in PACKAGE.rglob("*") if path.is_file())
    return {str(path.relative_to(PACKAGE.parent)) for path in files if path.suffix != ".pyc"}


def python(*arguments: str, cwd: Path, path: Path | None = None) -> str:
    """What Python prints; with `path`, it finds packages there before all others."""
    env = {} if path is None else {"PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a wheel, an sdist, and a wheel built from that sdist."""
    out = tmp_path_factory.mktemp("built")
    for kind in ("wheel", "sdist"):
        build = f"from flit_core import buildapi; buildapi.build_{kind}({str(out)!r})"
        python("-c", build, cwd=ROOT)
    unpacked = out / "unpacked"
    with tarfile.open(next(out.glob("*.tar.gz"))) as sdist:
        sdist.extractall(unpacked, filter="data")
    again = f"from flit_core import buildapi; buildapi.build_wheel({str(unpacked)!r})"
    python("-c", again, cwd=next(unpacked.glob("raftwork-*")))
    return out


@pytest.mark.parametrize("name", LINKS)
def test_each_part_of_the_house_stands_at_the_door(name: str) -> None:
    link = ROOT / name
    assert link.is_symlink() and not link.readlink().is_absolute()
    assert link.resolve() == PACKAGE / name
    assert (link / "__init__.py").is_file()


@pytest.mark.parametrize("where", [".", "unpacked"], ids=["from the tree", "from the sdist"])
def test_a_wheel_has_every_file_of_the_package_once_and_nothing_else(
    built: Path, where: str
) -> None:
    with ZipFile(next((built / where).glob("*.whl"))) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert len(names) == len(set(names))
    assert set(names) == sources()


@pytest.mark.parametrize("pattern", ["*.whl", "*.tar.gz"])
def test_what_is_built_is_installed_and_imported(built: Path, pattern: str, tmp_path: Path) -> None:
    site = tmp_path / "site"
    flags = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site))
    python("-m", "pip", "install", *flags, str(next(built.glob(pattern))), cwd=tmp_path)
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in sorted(sources())
        if name.endswith(".py") and not name.endswith("__main__.py")
    ]
    modules.remove("raftwork.contrib.django.worker")  # it is for a project with settings
    imports = f"from importlib import import_module as load; [*map(load, {modules})]"
    imports += "; import raftwork; print(raftwork.__file__)"
    assert str(site) in python("-c", imports, cwd=tmp_path, path=site)
    assert (site / "bin" / "raftwork").is_file()
    said = python("-m", "raftwork", "--version", cwd=tmp_path, path=site)
    assert "raftwork" in said


def test_an_sdist_has_what_its_tests_need(built: Path) -> None:
    # Beside it stands the wheel that was built from it.
    top = next(path for path in (built / "unpacked").glob("raftwork-*") if path.is_dir())
    for name in ("tests", "docs", "examples", "README.md", "CHANGELOG.md", "LICENSE"):
        assert (top / name).exists(), name
