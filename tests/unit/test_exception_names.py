"""Exceptions by name: what a client says of a class is what a worker finds in an object of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from raftwork.exception_names import exception_name, kinds_of


class Own(ConnectionError):
    pass


def test_an_exception_goes_by_its_module_and_name() -> None:
    assert exception_name("retry_on", Own) == f"{__name__}.Own"
    assert exception_name("retry_on", ValueError) == "builtins.ValueError"
    assert exception_name("retry_on", "ValueError") == "builtins.ValueError"
    assert exception_name("retry_on", "requests.ConnectionError") == "requests.ConnectionError"


def test_an_object_is_of_its_class_and_of_all_that_this_is_derived_from() -> None:
    kinds = kinds_of(Own())
    assert kinds[:3] == (f"{__name__}.Own", "builtins.ConnectionError", "builtins.OSError")


def test_a_class_of_a_program_goes_by_the_module_that_a_worker_imports(tmp_path: Path) -> None:
    program = tmp_path / "shop.py"
    program.write_text(
        "from raftwork.exception_names import exception_name, kinds_of\n"
        "class Closed(Exception): pass\n"
        "print(exception_name('retry_on', Closed), kinds_of(Closed())[0])\n"
    )
    done = subprocess.run([sys.executable, program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["shop.Closed", "shop.Closed"]


@pytest.mark.parametrize("kind", [int, 7, None])
def test_what_is_no_exception_is_refused(kind: object) -> None:
    with pytest.raises(TypeError, match="retry_on must name exceptions, got"):
        exception_name("retry_on", kind)


@pytest.mark.parametrize("name", ["Nope", "a b.C", "", "int"])
def test_a_name_that_no_exception_can_have_is_refused(name: str) -> None:
    with pytest.raises((ValueError, TypeError), match="retry_on must name exceptions"):
        exception_name("retry_on", name)


def test_a_metaclass_has_no_say() -> None:
    class Meta(type):
        def __getattribute__(cls, name: str) -> object:
            raise RuntimeError(name)

    class Odd(Exception, metaclass=Meta):
        pass

    assert kinds_of(Odd())[1] == "builtins.Exception"
