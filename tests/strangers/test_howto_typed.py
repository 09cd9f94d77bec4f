"""Typed arguments, as the page prints them: a dataclass, an enum, a converter, a wrong one."""

from tests.strangers.place import Place, blocks


def test_the_page_works_as_printed(alone: Place) -> None:
    lines = []
    for language, title, text in blocks("howto-typed-arguments.md"):
        if title:
            alone.write(title, text)
        if language == "sh":
            lines += text.splitlines()
    alone.worker("--concurrency 1", target="shop:app")
    program, command = lines
    done = alone.sh(program)
    assert done.out.splitlines() == [
        "datetime.date(2027, 1, 2)",
        "Decimal('6.60')",
        "argument 'speed' of shop.ship: expected Speed ('slow', 'fast'), got str 'at once'",
    ], done
    done = alone.sh(command)
    assert (done.code, done.out) == (0, '"2027-01-02"\n'), done
    done = alone.sh(command.replace(" fast ", " faster "))
    assert done.code == 1
    told = "argument 3 'speed' of shop.ship: expected Speed ('slow', 'fast'), got str 'faster'"
    assert told in done.err
