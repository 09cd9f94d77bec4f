"""What a request's fields may be is said with their types, and looked at before anything else."""

from typing import Annotated, NamedTuple

import pytest

from raftwork.messages.bounds import Between, Id, Name, OptionalName, lists, objections, unbounded


class Asked(NamedTuple):
    request: int
    name: Name = "n"
    other: OptionalName | None = None
    ids: Annotated[list[Id], Between(0, 2)] = []  # noqa: RUF012 - never changed
    limit: Annotated[int, Between(1, 9)] = 5
    payload: bytes = b""
    packed: Annotated[bytes, Between(0, 3)] = b""


class Loose(NamedTuple):
    request: int
    name: str
    ids: list[Id]
    texts: Annotated[list[str], Between(0, 2)]
    maybe: str | None


check = objections(Asked)


@pytest.mark.parametrize(
    "asked",
    [
        Asked(1),
        Asked(1, "n" * 255, "", ["a", "b" * 255], 1),
        Asked(1, "n", None, [], 9, bytes(1_000_000)),
    ],
)
def test_what_is_in_bounds_is_let_pass(asked: Asked) -> None:
    assert check(asked) is None


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (Asked(1, ""), "name must have 1 to 255 characters, got 0"),
        (Asked(1, "n" * 256), "name must have 1 to 255 characters, got 256"),
        (Asked(1, "n", "o" * 256), "other must have 0 to 255 characters, got 256"),
        (Asked(1, ids=["a", "b", "c"]), "ids must have 0 to 2 items, got 3"),
        (Asked(1, ids=["a", "b" * 256]), "one of ids must have 1 to 255 characters, got 256"),
        (Asked(1, ids=["a", ""]), "one of ids must have 1 to 255 characters, got 0"),
        (Asked(1, packed=b"1234"), "packed must have 0 to 3 bytes, got 4"),
        (Asked(1, limit=0), "limit must be between 1 and 9, got 0"),
        (Asked(1, limit=10), "limit must be between 1 and 9, got 10"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_both_numbers(asked: Asked, text: str) -> None:
    assert check(asked) == text


def test_a_text_or_a_list_without_bounds_is_found() -> None:
    assert unbounded(Asked) == []
    assert unbounded(Loose) == ["name", "ids", "texts", "maybe"]


class Item(NamedTuple):
    number: int
    ids: Annotated[list[Id], Between(0, 2)] = []  # noqa: RUF012 - never changed


class Nested(NamedTuple):
    items: Annotated[list[Item], Between(0, 3)]
    one: Item | None = None
    loose: Loose | None = None
    pair: tuple[int, int] = (0, 0)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (Nested([Item(1, ["a", "b"])] * 3), None),
        (Nested([Item(1)] * 4), "items must have 0 to 3 items, got 4"),
        (
            Nested([Item(1), Item(1, ["a"] * 3)]),
            "one of items: ids must have 0 to 2 items, got 3",
        ),
        (Nested([], Item(1, [""])), "one: one of ids must have 1 to 255 characters, got 0"),
    ],
)
def test_the_records_in_a_record_are_measured_too(asked: Nested, text: str | None) -> None:
    assert objections(Nested)(asked) == text


def test_what_has_no_bounds_in_the_records_in_a_record_is_found() -> None:
    names = ["name", "ids", "texts", "maybe"]
    assert unbounded(Nested) == [f"loose.{name}" for name in names]


def test_lists_are_found_by_their_place() -> None:
    assert lists(Asked) == (3,)
    assert lists(Loose) == (2, 3)
