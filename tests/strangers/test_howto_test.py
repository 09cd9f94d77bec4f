"""The pytest plugin in a project of its own, as the page prints it: warnings are errors."""

from tests.strangers.place import Place, blocks


def test_the_page_works_as_printed(alone: Place) -> None:
    lines = []
    for language, title, text in blocks("howto-test-tasks.md"):
        if title:
            alone.write(title, text)
        if language == "sh":
            lines += text.splitlines()
    (command,) = lines
    done = alone.sh(f"{command} -q -p no:cacheprovider")
    assert done.code == 0, done.out + done.err
    assert "4 passed" in done.out
