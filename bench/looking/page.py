"""What the page weighs, and how soon something of it is seen."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import urllib.request
from collections.abc import Sequence
from functools import partial
from typing import Final
from urllib.parse import urljoin

from bench.looking.settings import Settings, looked
from bench.semantics.rows import Reached, Row, at_most

#: What a file of the page names that is loaded with it; what is imported later is not.
_NAMED: Final = re.compile(
    r"""(?:\bsrc|\bhref)="(static/[^"]+)"|\b(?:from|import)\s*"(\.{1,2}/[^"]+)"|url\("?([^")]+)"?\)"""
)


#: Bytes that came over the network for the page itself, without what it asks the cluster.
_LOADED: Final = """
return performance.getEntriesByType("navigation").concat(performance.getEntriesByType("resource"))
  .filter((entry) => !entry.name.includes("/api/"))
  .reduce((sum, entry) => sum + entry.transferSize, 0);
"""


def rows(settings: Settings) -> Sequence[Row]:
    """Of the page."""
    return (
        at_most("weight", "kB, the page with all it loads, packed", 60, partial(_weight, settings)),
        at_most("paint", "ms until the first paint on loopback", 500, partial(_paint, settings)),
    )


def named(text: str) -> list[str]:
    """The files that one of the page names, relative to it."""
    found = [next(filter(None, groups)) for groups in _NAMED.findall(text)]
    return [each for each in found if not each.startswith(("data:", "#"))]


def weigh(url: str) -> dict[str, int]:
    """Bytes of each file as it is sent, packed, from the page on."""
    todo, sizes = [f"{url}/"], dict[str, int]()
    while todo:
        at = todo.pop()
        if at in sizes:
            continue
        asked = urllib.request.Request(at, headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(asked, timeout=30) as told:
            sizes[at] = len(told.read())
        if at.endswith(("/", ".js", ".css", ".html")):
            with urllib.request.urlopen(at, timeout=30) as told:
                found = named(told.read().decode())
            # What is drawn is relative to the page, what is imported to the file.
            todo += [
                urljoin(f"{url}/" if each.startswith("static/") else at, each) for each in found
            ]
    return sizes


def _weight(settings: Settings) -> Reached:
    with looked(settings, workers=0) as place:
        sizes = weigh(next(iter(place.urls.values())))
    assert len(sizes) > 10, sizes
    heaviest = max(sizes, key=lambda each: sizes[each])
    more = {"files": float(len(sizes)), f"kB, {heaviest.rsplit('/', 1)[-1]}": sizes[heaviest] / 1e3}
    return Reached(sum(sizes.values()) / 1e3, "gzip, as the server packs it", more)


def _paint(settings: Settings) -> Reached:
    """In a Chromium that has nothing in its cache."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        raise SystemExit("no chromium and chromedriver: apt-get install chromium chromium-driver")
    os.environ["SE_OFFLINE"] = "true"
    options = Options()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    took, loaded = list[float](), 0
    with looked(settings, workers=0) as place:
        window = webdriver.Chrome(options, Service(driver))
        try:
            window.execute_cdp_cmd("Network.enable", {})
            window.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
            for _ in range(settings.rounds + 1):
                window.get(next(iter(place.urls.values())))
                took.append(_first_paint(window))
                loaded = int(window.execute_script(_LOADED))
                window.get("about:blank")
        finally:
            window.quit()
    # The first one is the browser's own start, too.
    more = {"most": max(took[1:]), "kB that it loaded": loaded / 1e3}
    return Reached(statistics.median(took[1:]), f"{settings.rounds} times, no cache", more)


def _first_paint(window: object) -> float:
    """Milliseconds from the navigation to the first contents."""
    found = window.execute_async_script(  # type: ignore[attr-defined]
        """
        const done = arguments[0];
        const look = () => {
          const [paint] = performance.getEntriesByName("first-contentful-paint");
          if (paint) done(paint.startTime); else setTimeout(look, 20);
        };
        look();
        """
    )
    return float(found)
