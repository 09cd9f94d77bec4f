"""Django's tasks, as their page prints it: a project, its worker, and what is enqueued."""

from importlib.util import find_spec

from tests.strangers.place import Place, blocks

PAGE = blocks("howto-django.md")
MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
execute_from_command_line(sys.argv)
"""


MANY = """
import time
from django.core.management.base import BaseCommand
from shop.tasks import greet

class Command(BaseCommand):
    def handle(self, **options):
        results = []
        for number in range(150):
            results.append(greet.enqueue(str(number)))
            print("enqueued", number, flush=True)
        for number, result in enumerate(results):
            while not result.is_finished:
                time.sleep(0.02)
                result.refresh()
            assert result.return_value == f"hello {number}", result
        print("all are there", flush=True)
"""


def write(place: Place) -> None:
    """The page's project, for the brokers that are here."""
    for _, title, text in PAGE:
        if title:
            if title.endswith("settings.py"):
                (at,) = [line for line in text.splitlines() if '"brokers"' in line]
                brokers = place.env["RAFTWORK_BROKERS"]
                text = text.replace(at, f'        "OPTIONS": {{"brokers": "{brokers}"}},')
                if find_spec("django.tasks") is None:
                    text = text.replace('"shop"]', '"shop", "django_tasks"]')
            place.write(title, text)
    for package in ("shop", "shop/management", "shop/management/commands"):
        place.write(f"{package}/__init__.py", "")
    place.write("manage.py", MANAGE)


def test_the_page_works_as_printed(alone: Place) -> None:
    write(alone)
    (commands,) = [text.splitlines() for language, _, text in PAGE if language == "sh"]
    assert alone.sh("python manage.py check").code == 0
    worker = alone.start(f"{commands[1]} --concurrency 2", "worker")
    done = alone.sh("python manage.py try_tasks")
    assert done.out.splitlines() == [
        "hello Ada",
        "FAILED <class 'ZeroDivisionError'> [1, 0]",
    ], done.err
    listed = alone.sh("raftwork tasks --tag task=shop.tasks.greet --json")
    assert listed.out.count('"raftwork.django"') == 2, listed
    assert worker.stop() == 0


def test_no_task_of_djangos_is_lost_while_leaders_are_killed(place: Place) -> None:
    write(place)
    place.write("shop/management/commands/many.py", MANY)
    brokers = place.brokers()
    place.start("python manage.py raftwork_worker --concurrency 2", "worker")
    many = place.start("python manage.py many", "many")
    for number in (30, 90):
        place.wait_until(lambda n=number: f"enqueued {n}\n" in many.text, f"{number} tasks")  # type: ignore[misc]
        leader = place.leader()
        brokers[leader].kill()
        brokers[leader] = place.broker(leader)
    place.wait_until(lambda: many.code is not None, "all results")
    assert many.code == 0 and "all are there" in many.text, many.text
