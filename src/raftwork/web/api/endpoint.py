"""What an address of the API takes and answers, as a value.

    Endpoint("GET", "/queues", Role.VIEWER, "Every queue.", queues)

It is served, checked and documented by that.

What a request says is checked by the fields before any code of ours sees it, and refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from raftwork.features.audit import DONE
from raftwork.web.access import Role, Visitor

if TYPE_CHECKING:
    from raftwork.web.api.sight import Sight
    from raftwork.web.stream.subscription import Subscription

#: Of a request's body, and of a text in it.
BODY_BYTES_MAX: Final = 64 * 1024
TEXT_MAX: Final = 1_000
#: Texts of a list.
LIST_MAX: Final = 1_000
_EVENT_STREAM: Final = "text/event-stream"
#: Of an action that can be looked at first.
PREVIEW: Final = "preview"


class Unfit(ValueError):
    """A request says something that cannot be meant; the text names the field."""


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that a request may say."""

    name: str
    help: str
    kind: type[str | int | float | bool | list[str]] = str
    required: bool = False
    #: Of a number.
    least: float = 0
    most: float = 2**63 - 1
    default: str | float | bool | None = None
    #: Of a text: raises ValueError, which names the field, for one that can never be meant.
    check: Callable[[str], object] | None = None

    def read(self, value: object) -> object:
        """The value of a body. Raises Unfit."""
        if self.kind is list:
            return self._texts(value)
        fits = type(value) is self.kind or (self.kind is float and type(value) is int)
        if not fits:
            raise Unfit(f"{self.name} must be {_WORDS[self.kind]}, got {type(value).__name__}")
        if isinstance(value, str):
            return self._text(value)
        if not isinstance(value, bool):
            self._within(cast("float", value))
        return value

    def parse(self, text: str) -> object:
        """The value of a query. Raises Unfit."""
        if self.kind is str:
            return self._text(text)
        if self.kind is bool:
            if text not in ("true", "false"):
                raise Unfit(f"{self.name} must be true or false, got {text!r:.80}")
            return text == "true"
        try:
            number: float = int(text) if self.kind is int else float(text)
        except ValueError:
            raise Unfit(f"{self.name} must be {_WORDS[self.kind]}, got {text!r:.80}") from None
        self._within(number)
        return number

    def _text(self, text: str) -> str:
        if len(text) > TEXT_MAX:
            raise Unfit(f"{self.name} must have at most {TEXT_MAX} characters, got {len(text)}")
        if not text.isprintable():
            raise Unfit(f"{self.name} must be printable, got {text!r:.80}")
        if text and self.check is not None:
            self.check(text)
        return text

    def _texts(self, value: object) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise Unfit(f"{self.name} must be a list of texts, got {type(value).__name__}")
        if not 1 <= len(value) <= LIST_MAX:
            raise Unfit(f"{self.name} must have 1 to {LIST_MAX} texts, got {len(value)}")
        return [self._text(each) for each in value]

    def _within(self, number: float) -> None:
        if not self.least <= number <= self.most:  # also what is no number
            bounds = f"between {self.least:g} and {self.most:g}"
            raise Unfit(f"{self.name} must be {bounds}, got {number}")


_WORDS: Final[Mapping[type, str]] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list of texts",
}


class Asked:
    """What a request says, checked, and by whom."""

    def __init__(
        self, values: Mapping[str, object], visitor: Visitor, *, payloads: bool = True
    ) -> None:
        self._values = values
        self.visitor = visitor
        #: Whether contents of tasks may be shown.
        self.payloads = payloads

    def text(self, name: str) -> str:
        """Empty if it is not said."""
        return cast("str", self._values.get(name) or "")

    def whole(self, name: str) -> int | None:
        """None if it is not said."""
        return cast("int | None", self._values.get(name))

    def number(self, name: str) -> float | None:
        """None if it is not said."""
        return cast("float | None", self._values.get(name))

    def flag(self, name: str) -> bool:
        """False if it is not said."""
        return self._values.get(name) is True

    def texts(self, name: str) -> Sequence[str]:
        """Empty if it is not said."""
        return cast("Sequence[str]", self._values.get(name) or ())

    @property
    def key(self) -> str:
        """The same for equal questions with equal answers."""
        return json.dumps([sorted(self._values.items()), self.payloads])

    def said(self) -> str:
        """For the log of what was done."""
        given = {name: value for name, value in self._values.items() if value is not None}
        return json.dumps(given, ensure_ascii=True)[:500]


Answer = Callable[["Sight", Asked], object]
Stream = Callable[["Sight", Asked], "Subscription"]


class Acted(NamedTuple):
    """What an action answers, if it may have been carried out in part."""

    document: object
    #: For the audit.
    outcome: str = DONE


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method at one path."""

    method: str
    path: str
    role: Role
    summary: str
    #: Returns a document in JSON.
    answer: Answer
    fields: Sequence[Field] = ()
    #: For so long, s, several who ask are given one answer.
    shared_s: float = 1.0
    #: For who accepts an event stream: what is told has no end. If it is `answer`, for everybody.
    stream: Stream | None = None
    #: Of an action: says what it would do. With `preview` this is called, and `answer` never is.
    preview: Answer | None = None

    def __post_init__(self) -> None:
        """Have it take `preview` if it has one; any other refuses that field as unknown."""
        if self.preview is not None:
            field = Field(PREVIEW, "say what it would do, and do nothing", bool)
            object.__setattr__(self, "fields", (*self.fields, field))

    @property
    def changes(self) -> bool:
        """Whether it is an action."""
        return self.method == "POST"

    def streamed(self, accept: str) -> Stream | None:
        """What to open for who accepts that; None: answer."""
        if self.stream is self.answer or _EVENT_STREAM in accept:
            return self.stream
        return None

    def check(
        self, path: Mapping[str, str], query: Sequence[tuple[str, str]], body: object
    ) -> dict[str, object]:
        """What it says, by the fields' names. Raises Unfit."""
        fields = {field.name: field for field in self.fields}
        values: dict[str, object] = {n: f.default for n, f in fields.items()}
        said: dict[str, object] = {}
        for name, text in (*path.items(), *query):
            if name in said:
                raise Unfit(f"{name:.80} is given twice")
            said[name] = _known(fields, name).parse(text)
        if body is not None:
            if not isinstance(body, dict):
                raise Unfit(f"the body must be a JSON object, got {type(body).__name__}")
            for name, value in body.items():
                said[name] = _known(fields, name).read(value)
        for name, field in fields.items():
            if field.required and name not in said:
                raise Unfit(f"{name} is missing: {field.help}")
        return values | said


def _known(fields: Mapping[str, Field], name: str) -> Field:
    field = fields.get(name)
    if field is None:
        there = ", ".join(fields) or "none"
        raise Unfit(f"there is no {name!r:.80} here; the fields are: {there}")
    return field
