"""Models of pydantic and msgspec do both ways themselves."""

import dataclasses
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pydantic
import pytest

from raftwork.conversion import NO_TYPES
from raftwork.conversion.by_value import plain_of
from raftwork.conversion.shapes import Misfit
from raftwork.wire import pack, unpack

PLAIN_COMPILER = NO_TYPES.compiler
NOW = datetime(2027, 1, 1, tzinfo=UTC)


class Item(pydantic.BaseModel):
    at: datetime
    price: Decimal = pydantic.Field(alias="cost", gt=0)


class Strict(pydantic.BaseModel, strict=True):
    at: datetime


class Sub(Item):
    more: int = 0


@pydantic.dataclasses.dataclass
class Point:
    x: int
    at: datetime


class Event(msgspec.Struct):
    at: datetime
    raw: bytes = b""


@dataclasses.dataclass
class Held:
    items: list[Item]
    event: Event


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Item, Item(at=NOW, cost=Decimal("1.10"))),
        (Strict, Strict(at=NOW)),
        (Point, Point(1, NOW)),
        (Event, Event(NOW, b"\xff")),
        (Held, Held([Item(at=NOW, cost=Decimal(1))], Event(NOW))),
        (Item | Event, Event(NOW)),
        (Annotated[int, pydantic.Field(gt=0)], 3),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_model_arrives_as_it_was_sent(annotation: Any, value: object) -> None:
    shape = PLAIN_COMPILER.shape(annotation)
    made = shape.into(unpack(pack(shape.out(value))))
    assert made == value and type(made) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value", "why"),
    [
        (Item, {"at": "2027-01-01T00:00:00Z", "cost": -1}, "greater than 0"),
        (Item, Sub(at=NOW, cost=Decimal(1)), "expected Item, got Sub"),
        (Item, 3, "expected Item, got int 3"),
        (Event, {"at": 5}, "expected Event, got dict (ValidationError"),
        (Annotated[int, pydantic.Field(gt=0)], -3, "greater than 0"),
    ],
    ids=["value", "subclass", "type", "msgspec", "constraint"],
)
def test_what_the_model_refuses_is_refused(annotation: Any, value: object, why: str) -> None:
    with pytest.raises(Misfit) as told:
        PLAIN_COMPILER.shape(annotation).out(value)
    assert why in str(told.value)


def test_without_the_code_it_is_a_dict() -> None:
    assert plain_of([Event(NOW)], PLAIN_COMPILER) == [{"at": "2027-01-01T00:00:00Z", "raw": b""}]


def test_neither_is_imported_for_a_program_that_has_none() -> None:
    code = """if True:
        import sys
        from datetime import datetime
        from raftwork import App
        task = App().task(name="t")(lambda at: None)
        def f(at: datetime): ...
        App().task(name="f")(f).signature.compiled()
        print(*sorted({"pydantic", "msgspec"} & sys.modules.keys()))"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "\n"
