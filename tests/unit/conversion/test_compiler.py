"""What an annotation makes of a value, on its way out and in."""

import enum
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import KW_ONLY, InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    TypedDict,
    TypeVar,
)
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftwork.conversion import NO_TYPES, Converter, converters
from raftwork.conversion.by_value import plain_of
from raftwork.conversion.compiler import Compiler
from raftwork.conversion.shapes import ANYTHING, Misfit
from raftwork.messages.flow_values import Failure, Reference
from raftwork.wire import pack, unpack

PLAIN_COMPILER = NO_TYPES.compiler
T = TypeVar("T")
Id = NewType("Id", UUID)


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Way(enum.Flag):
    IN = enum.auto()
    OUT = enum.auto()


class Odd(enum.Enum):
    FIRST = (1, 2)


@dataclass
class Line:
    what: str
    price: Decimal
    count: int = 1


@dataclass(frozen=True, slots=True)
class Order:
    at: datetime
    lines: list[Line]
    _: KW_ONLY
    tags: set[str] = field(default_factory=set)
    parent: "Order | None" = None
    total: int = field(init=False, default=7)


@dataclass
class Alike:
    what: str
    price: Decimal
    count: int = 1


class Express(Order):
    pass


@dataclass
class Box(Generic[T]):
    inside: T


class Spot(NamedTuple):
    day: date
    place: int = 3


class Visit(TypedDict):
    day: date
    note: NotRequired[str]


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self) -> int:
        return self.cents

    def __repr__(self) -> str:
        return f"Money({self.cents})"


NOW = datetime(2027, 3, 28, 2, 30, 0, 5, timezone(timedelta(hours=2)))
ORDER = Order(NOW, [Line("tea", Decimal("1.10"))], tags={"b", "a"}, parent=Order(NOW, []))

VALUES: list[tuple[Any, object]] = [
    (datetime, NOW),
    (datetime, datetime(2027, 1, 1)),  # noqa: DTZ001 - naive stays naive
    (date, date(2027, 1, 1)),
    (time, time(1, 2, 3)),
    (UUID, UUID(int=7)),
    (Id, UUID(int=7)),
    (Decimal, Decimal("1.10")),
    (Path, Path("a/b")),
    (PurePosixPath, PurePosixPath("/a")),
    (Colour, Colour.RED),
    (Way, Way.IN | Way.OUT),
    (Odd, Odd.FIRST),
    (set[date], {date(2027, 1, 1), date(2027, 1, 2)}),
    (frozenset, frozenset({1, 2})),
    (AbstractSet[int], frozenset({1})),
    (tuple[int, ...], (1, 2)),
    (tuple[()], ()),
    (tuple, (1, "a")),
    (tuple[int, date], (1, date(2027, 1, 1))),
    (list[Colour], [Colour.RED]),
    (Sequence[Colour], [Colour.BLUE]),
    (dict[str, date], {"a": date(2027, 1, 1)}),
    (Mapping[int, str], {1: "a"}),
    (dict[date, Line], {date(2027, 1, 1): Line("a", Decimal(1))}),
    (dict[int, int], {}),
    (Order, ORDER),
    (Box[date], Box(date(2027, 1, 1))),
    (Box[list[Colour]], Box([Colour.RED])),
    (Spot, Spot(date(2027, 1, 1))),
    (Visit, {"day": date(2027, 1, 1)}),
    (Visit, {"day": date(2027, 1, 1), "note": "n"}),
    (datetime | None, None),
    (Optional[datetime], NOW),  # noqa: UP045 - written so by many
    (Line | Spot, Spot(date(2027, 1, 1), 4)),
    (Line | Order | None, ORDER),
    (int | date, 3),
    (int | date, date(2027, 1, 1)),
    (str | date, "2027-01-01"),
    (date | str, "2027-01-01"),
    (Annotated[date, "of birth"], date(2027, 1, 1)),
    (Final[date], date(2027, 1, 1)),
]


#: Of the annotations alone: how a set is shown hangs on the process.
NAMES = [f"{at} {annotation}"[:60] for at, (annotation, _) in enumerate(VALUES)]


@pytest.mark.parametrize(("annotation", "value"), VALUES, ids=NAMES)
def test_a_value_arrives_as_it_was_sent(annotation: Any, value: object) -> None:
    shape = PLAIN_COMPILER.shape(annotation)
    made = shape.into(unpack(pack(shape.out(value))))
    assert made == value and type(made) is type(value)


@pytest.mark.parametrize(("annotation", "value"), VALUES, ids=NAMES)
def test_its_plain_form_is_taken_too_as_from_the_command_line(
    annotation: Any, value: object
) -> None:
    shape = PLAIN_COMPILER.shape(annotation)
    plain = unpack(pack(shape.out(value)))
    assert shape.out(plain) == plain or isinstance(value, dict)


@given(st.timedeltas())
def test_every_duration_arrives_to_the_microsecond(span: timedelta) -> None:
    shape = PLAIN_COMPILER.shape(timedelta)
    assert shape.into(shape.out(span)) == span


def test_a_duration_may_be_written_as_text_or_in_seconds() -> None:
    into = PLAIN_COMPILER.shape(timedelta).into
    assert into("P1DT2H3M4.5S") == timedelta(days=1, hours=2, minutes=3, seconds=4.5)
    assert into("-PT90S") == into(-90) == timedelta(seconds=-90)
    for wrong in ("", "P", "PT", "P1DT", "1h", True):
        with pytest.raises(Misfit, match="expected timedelta"):
            into(wrong)


@pytest.mark.parametrize(
    ("annotation", "value", "why"),
    [
        (datetime, 5, "expected datetime, got int 5"),
        (datetime, "soon", "expected datetime, got str 'soon' (ValueError: "),
        (date, NOW, "expected date, got datetime"),
        (Colour, "g", "expected Colour ('r', 'b'), got str 'g'"),
        (Decimal, 1.5, "expected Decimal, got float 1.5"),
        (Decimal, "x", "expected Decimal, got str 'x' (InvalidOperation"),
        (set[date], {"soon"}, "expected date, got str 'soon'"),
        (tuple[int, date], (1,), "expected tuple[int, date] with 2 parts, got 1"),
        (list[date], ["2027-01-01", 3], "expected date, got int 3 at [1]"),
        (dict[str, date], {1: date(2027, 1, 1)}, "expected str, got int 1 at 's keys"),
        (dict[str, date], {"a": 1}, "expected date, got int 1 at ['a']"),
        (Order, Line("a", Decimal(1)), "expected Order, got Line"),
        (Order, {"at": "2027-01-01", "lines": [], "x": 1}, "Order has no 'x'"),
        (Order, {"at": "2027-01-01"}, "Order needs 'lines'"),
        (Order, Order(NOW, [Line("a", 3)]), "expected Decimal"),  # type: ignore[arg-type]
        (Order, Order(NOW, [Line("a", 3.0)]), "got float 3.0 at .lines[0].price"),  # type: ignore[arg-type]
        (Spot, [1], "expected date, got int 1 at .day"),
        (Spot, [], "Spot has 2 parts, got 0"),
        (Visit, {"note": "x"}, "Visit needs 'day'"),
        (Visit, {"day": date(2027, 1, 1), "x": 1}, "Visit has no 'x'"),
        (datetime | None, 5, "expected datetime, got int 5"),
        (int | date, "x", "expected int | date, got str 'x'"),
        (str | date, date(2027, 1, 1), "as one of str | date a date would arrive as str"),
        (Line | Alike, Alike("a", Decimal(1)), "a Alike would arrive as Line"),
        (list[int] | set[int], {1}, "a set[int] would arrive as list[int]"),
        (Box[date], Box(3), "expected date, got int 3 at .inside"),
    ],
    ids=lambda each: str(each)[:30],
)
def test_what_is_none_is_refused_with_its_place(annotation: Any, value: object, why: str) -> None:
    if why == "expected Decimal":  # an int is one, as JSON has no other way to write it
        PLAIN_COMPILER.shape(annotation).out({"at": "2027-01-01", "lines": []})
        return
    with pytest.raises(Misfit) as told:
        PLAIN_COMPILER.shape(annotation).out(value)
    assert why in str(told.value)


def test_a_subclass_of_a_record_would_lose_what_it_adds() -> None:
    with pytest.raises(Misfit, match="expected Order, got Express"):
        PLAIN_COMPILER.shape(Order).out(Express(NOW, []))


def test_a_field_that_the_class_makes_itself_does_not_travel() -> None:
    shape = PLAIN_COMPILER.shape(Order)
    assert "total" not in dict(shape.out(ORDER))  # type: ignore[call-overload]


def test_a_set_has_one_plain_form_whatever_the_hashes() -> None:
    shape = PLAIN_COMPILER.shape(set[str])
    assert shape.out({"b", "a", "c"}) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "annotation",
    [
        *(int, str, bool, None, list[int], dict[str, str], int | None, str | int),
        *(Literal["a", 1], Any, list, dict, object, Money, T),
    ],
    ids=str,
)
def test_what_does_not_change_on_its_way_is_no_work(annotation: Any) -> None:
    assert not PLAIN_COMPILER.shape(annotation).rich


def test_what_cannot_be_made_again_is_nothing_that_is_known() -> None:
    @dataclass
    class Once:
        x: InitVar[int]

    assert PLAIN_COMPILER.shape(Once) is ANYTHING


def test_further_types_travel_by_their_converters() -> None:
    mine = Compiler(converters([Converter(Money, lambda money: money.cents, Money)]))
    shape = mine.shape(dict[str, list[Money]])
    assert shape.out({"a": [Money(3)]}) == {"a": [3]}
    assert shape.into({"a": [3]}) == {"a": [Money(3)]}
    assert plain_of([Money(3)], mine) == [3]
    broken = Compiler(converters([(Money, lambda _: 1 // 0, lambda _: 3)]))
    with pytest.raises(Misfit, match="ZeroDivisionError"):
        broken.shape(Money).out(Money(3))
    with pytest.raises(Misfit, match="the converter of Money loads a int"):
        broken.shape(Money).into(3)


@pytest.mark.parametrize("wrong", [Money, (Money, str), (1, str, str), (Money, 1, 2)], ids=str)
def test_a_converter_is_a_type_and_two_functions(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"types must be Converter\(type, dump, load\)"):
        converters([wrong])


def test_without_the_code_values_travel_by_what_they_are() -> None:
    plain = plain_of({"a": [NOW, ORDER, {1: Colour.RED}, (b"", None)]}, PLAIN_COMPILER)
    made = PLAIN_COMPILER.shape(Order).out(ORDER)
    assert plain == {"a": [NOW.isoformat(), made, [[1, "r"]], [b"", None]]}
    with pytest.raises(Misfit):
        plain_of([Money(3)], PLAIN_COMPILER)


def test_utc_arrives_as_utc() -> None:
    shape = PLAIN_COMPILER.shape(datetime)
    made = shape.into(shape.out(datetime(2027, 1, 1, tzinfo=UTC)))
    assert isinstance(made, datetime) and made.tzinfo is UTC


class Tree(TypedDict):
    day: date
    below: "list[Tree]"


@dataclass
class Link:
    day: date
    next: "Link | None" = None


#: Annotations, and where in a value of each something may stand for a part.
HOLES: list[tuple[object, Callable[[object], object]]] = [
    (date, lambda x: x),
    (list[date], lambda x: [x]),
    (set[date], lambda x: [x]),
    (tuple[int, date], lambda x: [x, x]),
    (dict[str, date], lambda x: {"a": x}),
    (dict[int, date], lambda x: {1: x}),
    (int | date, lambda x: x),
    (list[date | Failure], lambda x: [x, "2027-01-01"]),
    (Literal[1, 2] | date, lambda x: x),
    (Tree, lambda x: {"day": x, "below": [x, {"day": x, "below": [x]}]}),
    (Link, lambda x: {"day": x, "next": {"day": x, "next": x}}),
    (Money, lambda x: x),
]


@pytest.mark.parametrize(("annotation", "with_hole"), HOLES, ids=map(str, range(len(HOLES))))
def test_what_stands_for_a_value_of_a_flow_passes(
    annotation: object, with_hole: Callable[[object], object]
) -> None:
    shape = Compiler(converters([Converter(Money, lambda m: m.cents, Money)])).shape(annotation)
    failure, place = Failure("ValueError", "no", "", "failed"), Reference(3)
    out = shape.out(with_hole(place))
    assert str(out).count(str(place)) == str(with_hole(place)).count(str(place))
    into = shape.into(with_hole(failure))
    assert str(into).count(str(failure)) == str(with_hole(failure)).count(str(failure))


def test_nothing_but_a_failure_is_one() -> None:
    shape = Compiler({}).shape(Order | Failure)
    for value in (["ValueError", "no", "", "failed"], {"type": "ValueError"}):
        with pytest.raises(Misfit):
            shape.into(value)
