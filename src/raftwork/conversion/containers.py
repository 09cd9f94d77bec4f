"""Annotations of containers and unions, made of the shapes of their parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from raftwork.conversion.scalars import plain
from raftwork.conversion.shapes import ANYTHING, Convert, Misfit, Shape, each, expected

_SEQUENCES: Final = (list, tuple)
_TEXT: Final = plain(str)


def listed(words: str, item: Shape) -> Shape:
    """A list, which is what a tuple arrives as, too."""

    def convert(part: Convert) -> Convert:
        def run(value: object) -> object:
            if type(value) not in _SEQUENCES:
                raise expected(words, value)
            return each(part, value)  # type: ignore[arg-type]

        return run

    return Shape(words, convert(item.out), convert(item.into), item.rich)


def collected(words: str, kind: Callable[[list[object]], object], item: Shape) -> Shape:
    """A set, a frozenset or a tuple of equal parts; on its way a list."""
    kinds = (*_SEQUENCES, *((set, frozenset) if kind in (set, frozenset) else (kind,)))

    def out(value: object) -> object:
        if type(value) not in kinds:
            raise expected(words, value)
        made = each(item.out, value)  # type: ignore[arg-type]
        if type(value) in (set, frozenset):  # in one order, whatever the hashes: keys depend on it
            made.sort(key=repr)
        return made

    def into(value: object) -> object:
        if type(value) not in _SEQUENCES:
            raise expected(words, value)
        try:
            return kind(each(item.into, value))  # type: ignore[arg-type]
        except TypeError:
            raise Misfit(f"expected {words}, got parts that cannot be hashed") from None

    return Shape(words, out, into)


def tupled(words: str, parts: Sequence[Shape]) -> Shape:
    """A tuple with so many parts."""

    def convert(ways: Sequence[Convert], made: Callable[[list[object]], object]) -> Convert:
        def run(value: object) -> object:
            if type(value) not in _SEQUENCES:
                raise expected(words, value)
            assert isinstance(value, list | tuple)
            if len(value) != len(ways):
                raise Misfit(f"expected {words} with {len(ways)} parts, got {len(value)}")
            pairs = enumerate(zip(ways, value, strict=True))
            return made([_at(way, part, f"[{at}]") for at, (way, part) in pairs])

        return run

    outs, intos = [part.out for part in parts], [part.into for part in parts]
    return Shape(words, convert(outs, list), convert(intos, tuple))


def mapped(words: str, key: Shape, item: Shape) -> Shape:
    """A dict; one whose keys are no str travels as a list of pairs."""
    if key is ANYTHING or (key.words == "str" and not key.rich):
        return _by_text(words, item)
    pair = tupled(f"a key and a value of {words}", (key, item))

    def out(value: object) -> object:
        if type(value) is dict:
            return each(pair.out, list(value.items()))
        into(value)
        return value

    def into(value: object) -> object:
        if type(value) is dict:  # as one writes it: {"1": …}
            value = [list(entry) for entry in value.items()]
        if type(value) not in _SEQUENCES:
            raise expected(words, value)
        try:
            return dict(each(pair.into, value))  # type: ignore[arg-type]
        except TypeError:
            raise Misfit(f"expected {words}, got keys that cannot be hashed") from None

    return Shape(words, out, into)


def _by_text(words: str, item: Shape) -> Shape:
    def convert(part: Convert) -> Convert:
        def run(value: object) -> object:
            if type(value) is not dict:
                raise expected(words, value)
            return {
                _at(_TEXT.out, name, "'s keys"): _at(part, held, f"[{name!r:.40}]")
                for name, held in value.items()
            }

        return run

    return Shape(words, convert(item.out), convert(item.into), item.rich)


def union(words: str, members: Sequence[Shape]) -> Shape:
    """The first member that takes a value; plain ones first, so that text stays text.

    A value that would arrive as another member than it is of is a misfit: `str | datetime` has no
    way to tell the text of the one from the other.
    """
    ordered = sorted(members, key=lambda member: (member is ANYTHING, member.rich))
    if not any(member.rich for member in ordered):
        check = _first(words, ordered, "out")
        return Shape(words, check, check, rich=False)
    others = [member for member in ordered if member.words != "None"]
    if len(others) == 1 and len(ordered) == 2:
        return _optional(words, others[0])
    read = _first(words, ordered, "into")

    def out(value: object) -> object:
        for member in ordered:
            try:
                made = member.out(value)
            except Misfit:
                continue
            for reader in ordered:
                try:
                    reader.into(made)
                except Misfit:
                    continue
                if reader is not member:
                    raise Misfit(
                        f"as one of {words} a {member.words} would arrive as {reader.words}"
                    )
                return made
        raise expected(words, value)

    return Shape(words, out, read)


def _optional(words: str, other: Shape) -> Shape:
    def convert(way: Convert) -> Convert:
        def run(value: object) -> object:
            return None if value is None else way(value)

        return run

    return Shape(words, convert(other.out), convert(other.into), other.rich)


def _first(words: str, members: Sequence[Shape], way: str) -> Convert:
    ways: list[Convert] = [getattr(member, way) for member in members]

    def run(value: object) -> object:
        for convert in ways:
            try:
                return convert(value)
            except Misfit:
                continue
        raise expected(words, value)

    return run


def _at(convert: Convert, value: object, place: str) -> object:
    try:
        return convert(value)
    except Misfit as misfit:
        raise misfit.within(place) from None
