"""The dashboard in a real browser: how each page looks, what it lets through, and a failover."""

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import urlretrieve

import pytest
from prometheus_client.parser import text_string_to_metric_families
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from raftwork.web.access import sha256
from tests.browser.browser import PHONE, WIDE, Browser
from tests.browser.place import HOSTILE, Place, proxied, wait_until

#: The view, and what is on it once all is there.
PAGES: dict[str, tuple[Callable[[Place], str], str]] = {
    "tasks": (lambda _: "#/tasks", "mail.send"),
    "task": (lambda p: f"#/task?id={p.ids['waiting']}", "Why it waits"),
    "running": (lambda p: f"#/task?id={p.ids['running']}", "page "),
    "failed": (lambda p: f"#/task?id={p.ids['failed']}", "Traceback"),
    "queues": (lambda _: "#/queues", "no worker"),
    "workers": (lambda _: "#/workers", "w1"),
    "failures": (lambda _: "#/failures", "billing.charge"),
    "schedules": (lambda _: "#/schedules", "nightly-report"),
    "flows": (lambda _: "#/flows", "order-7"),
    "flow": (lambda _: "#/flow?id=order-7", "tasks:"),
    "limits": (lambda _: "#/limits", "stripe"),
    "runs": (lambda _: "#/running", "page "),
    "dead": (lambda _: "#/dead", "billing.charge"),
    "worker": (lambda _: "#/worker?name=w1", "What its weight is made of"),
    "queue": (lambda _: "#/queue?name=mail", "Score: "),
    "schedule": (lambda _: "#/schedule?id=nightly-report", "What became of its ticks"),
    "cluster": (lambda _: "#/cluster", "knows no leader"),
    # Its charts begin with what the dashboard has seen by then.
    "overview": (lambda _: "#/overview", "Ended a second"),
}


CANVASES = {"overview": "raftwork-chart", "runs": "raftwork-timeline"}
#: Has the page note the events of its own stream.
FOLLOW = """
window.stayed = [];
new EventSource("api/v1/stream?topics=events").addEventListener("events", ({data}) => {
  const {events, skipped} = JSON.parse(data);
  if (skipped) throw new Error(`${skipped} are missing`);
  stayed.push(...events);
});
"""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_in_the_light_in_the_dark_and_on_a_phone(
    browser: Browser, place: Place, name: str
) -> None:
    view, text = PAGES[name]
    browser.open(f"{place.url}/{view(place)}")
    for look, theme, size in (
        ("light", "light", WIDE),
        ("dark", "dark", WIDE),
        ("phone", "light", PHONE),
    ):
        browser.theme(theme)
        browser.size(size)
        browser.see(text)
        if name in CANVASES:
            browser.wait(lambda: browser.all(f"{CANVASES[name]} canvas"), "what is drawn")
        browser.shot(f"{name}-{look}")
        assert browser.findings() == []
        assert browser.sideways() <= 0
    here = urlsplit(place.url).netloc
    assert {urlsplit(url).netloc for url in browser.asked()} <= {here}


def test_what_others_named_stays_text(browser: Browser, place: Place) -> None:
    place.app.cluster.mark(HOSTILE)
    for view, text in (
        (f"#/task?id={place.ids['hostile']}", HOSTILE),
        ("#/tasks?q=state:queued", HOSTILE),
        ("#/queues", "<b>odd</b> queue"),
        (f"#/queue?name={quote('<b>odd</b> queue')}", "<b>odd</b> queue"),
        (f"#/worker?name={quote(HOSTILE)}", HOSTILE),
        (f"#/dead?error={quote(HOSTILE)}", "None."),
        ("#/cluster", f"marked: {HOSTILE}"),
        ("#/overview", HOSTILE),
        (f"#/task?id={quote(HOSTILE)}", "no task has the id"),
    ):
        browser.open(f"{place.url}/{view}")
        browser.see(text)
        assert not browser.all("main img") and not browser.all("main b b")
        assert browser.run("return window.owned") is None
    browser.driver.get_log("browser")  # type: ignore[no-untyped-call] # an id that is none is a 404


def press_by_keyboard(browser: Browser, text: str, about: str = "") -> None:
    """Go to the button of this text, and title if one is given, by Tab, and press Enter."""

    def there() -> bool:
        focused = "const it = document.activeElement; return [it.innerText, it.title]"
        return list(browser.run(focused)) == [text, about]

    for _ in range(90):
        if there():
            ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
            return
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
    pytest.fail(f"no way to {text!r} by the keyboard")


def test_a_task_is_cancelled_by_the_keyboard_alone(browser: Browser, place: Place) -> None:
    run = place.app.named("mail.send", delay=3600).enqueue("nobody")
    browser.open(f"{place.url}/#/task?id={run.id}")
    browser.see("Why it waits")
    press_by_keyboard(browser, "Cancel the task")
    browser.see("Cancel this task?")
    browser.shot("dialog-light")
    press_by_keyboard(browser, "Cancel the task")
    browser.see("cancelled")
    assert run.status() == "cancelled"


def test_what_runs_is_cancelled_by_the_keyboard_alone(browser: Browser, place: Place) -> None:
    run = place.app.named("reports.build").enqueue(900)
    browser.open(f"{place.url}/#/running")
    browser.see(run.id[-12:])
    press_by_keyboard(browser, "Cancel", f"Cancel reports.build {run.id}")
    browser.see("Cancel reports.build?")
    press_by_keyboard(browser, "Cancel the task")
    browser.see("asked to end")
    wait_until(lambda: run.status() == "cancelled", "its end")


def test_the_log_of_what_runs_is_followed_until_its_end(browser: Browser, place: Place) -> None:
    run = place.app.named("reports.build").enqueue(6)
    browser.open(f"{place.url}/#/task?id={run.id}")
    browser.press("Follow its log")
    browser.see("begins page 5")
    browser.shot("log-light")
    assert browser.findings() == []
    browser.see("Nothing more comes.")
    assert run.status() == "succeeded"


def test_dead_tasks_are_run_again_and_purged_and_first_said(browser: Browser, place: Place) -> None:
    runs = place.app.named("billing.charge").enqueue_many([(f"d{n}",) for n in range(3)])
    for run in runs:
        wait_until(lambda run=run: run.status() == "failed", "a failure")  # type: ignore[misc]
    mine = quote("customer: 'd")
    browser.open(f"{place.url}/#/dead?error={mine}")
    browser.see("Run all of this filter again")
    browser.wait(lambda: browser.all("main td input"), "the boxes")[0].click()
    browser.press("Run it again")
    browser.press("Run them", "dialog")
    browser.see("1 task was enqueued once more")
    browser.wait(lambda: len(browser.all("main td input")) == 4, "its failure")  # it failed again
    browser.press("Run all of this filter again")
    browser.see("3 tasks, among them:")
    browser.press("Run them", "dialog")
    browser.see("3 tasks were enqueued once more")
    browser.press("Purge all of this filter")
    browser.shot("dead-purge-light")
    browser.press("Purge them", "dialog")
    browser.see("tasks were forgotten")


def test_a_moment_is_marked_in_the_charts_and_among_the_elections(
    browser: Browser, place: Place
) -> None:
    browser.open(f"{place.url}/#/overview")
    box = browser.wait(lambda: browser.all("#mark"), "where to type")[0]
    box.send_keys("deploy shop 2.7.1" + Keys.ENTER)
    browser.see("Marked.")
    browser.wait(lambda: "deploy shop 2.7.1" in browser.text(), "the mark")
    browser.open(f"{place.url}/#/cluster")
    browser.see("marked: deploy shop 2.7.1")
    assert browser.all("path.mark")


def test_a_schedule_is_changed(browser: Browser, place: Place) -> None:
    browser.open(f"{place.url}/#/schedule?id=nightly-report")
    browser.press("Change it")
    box = browser.wait(lambda: browser.all("input[name=cron]"), "the form")[0]
    box.clear()
    box.send_keys("45 4 * * *" + Keys.ENTER)
    changed = "45 4 * * *"
    wait_until(lambda: place.app.schedules.get("nightly-report").cron == changed, "the change")
    browser.wait(lambda: not browser.all("form.fields"), "the form's end")
    browser.see(changed)


def test_a_queues_settings_are_changed(browser: Browser, place: Place) -> None:
    browser.open(f"{place.url}/#/queue?name=bulk")
    browser.press("Change them")
    box = browser.wait(lambda: browser.all("input[name=max_length]"), "the form")[0]
    box.send_keys("1000" + Keys.ENTER)
    wait_until(lambda: place.app.queue("bulk").settings().max_length == 1_000, "the change")
    browser.see("max length")


def test_failures_of_a_kind_are_run_again(browser: Browser, place: Place) -> None:
    browser.open(f"{place.url}/#/failures")
    browser.see("billing.charge")
    browser.all("summary")[0].click()
    browser.wait(
        lambda: [b for b in browser.all("main button") if b.text.startswith("Run all")],
        "the button",
    )[0].click()
    browser.shot("failures-open-light")
    browser.press("Run them", "dialog")
    browser.see("were enqueued once more")
    browser.see("retried")


def test_a_queue_is_paused_and_a_purge_says_first_what_it_would_drop(
    browser: Browser, place: Place
) -> None:
    browser.open(f"{place.url}/#/queues")
    browser.see("bulk")
    row = "tr:has(a[href*='bulk'])"
    browser.press("Pause", row)
    browser.press("Pause", "dialog")
    browser.see("paused")
    browser.press("Purge", row)
    browser.see("31 tasks would be dropped, among them:")
    browser.press("Back", "dialog")
    browser.press("Resume", row)
    browser.see("bulk goes on.")


def test_a_broker_serves_the_same_beside_itself_with_its_metrics(
    browser: Browser, place: Place
) -> None:
    browser.open(f"{place.beside_c}/")
    browser.see("Ended a second")
    browser.see("bulk")
    page = Path(urlretrieve(f"{place.beside_c}/metrics")[0]).read_text()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    own = {sample.labels["broker"] for sample in families["raftwork_fsync_seconds"].samples}
    assert own == {"c"}
    assert families["process_resident_memory_bytes"].samples[0].value > 10_000_000
    waiting = {
        sample.labels["queue"]: sample.value
        for sample in families["raftwork_queue_tasks"].samples
        if sample.labels["state"] == "ready"
    }
    assert waiting["bulk"] == 31


def test_behind_a_proxy_with_a_prefix_all_of_it_works(browser: Browser, place: Place) -> None:
    with proxied(place.url, "/some/where") as url:
        browser.open(f"{url}/")
        browser.see("Ended a second")
        browser.open(f"{url}/#/queues")
        browser.see("bulk")
        browser.press("Pause", "tr:has(a[href*='mail'])")
        browser.press("Pause", "dialog")
        browser.see("mail is paused.")
        browser.press("Resume", "tr:has(a[href*='mail'])")
        browser.see("mail goes on.")
        paths = {urlsplit(asked).path for asked in browser.asked()}
        assert all(path.startswith("/some/where/") for path in paths), paths
        browser.open("about:blank")


def test_a_viewer_logs_in_and_sees_no_contents_and_no_buttons(
    browser: Browser, place: Place, tmp_path: Path
) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"viewer {sha256('v')} vera\noperator {sha256('o')} otto\n")
    url = place.dashboard(
        *("with-tokens", "--token-file", str(file)),
        *("--log-link", "https://logs.example/?q={task_id}"),
    )
    task = f"{url}/#/task?id={place.ids['waiting']}"
    logs = f"https://logs.example/?q={place.ids['waiting']}"
    for token, name in (("v", "vera"), ("o", "otto")):
        browser.open(task)
        browser.see("Log in")
        if token == "v":
            browser.shot("login-light")
            assert browser.findings() == []
        browser.all("input[name=token]")[0].send_keys(token + Keys.ENTER)
        browser.see(name)
        browser.see("Why it waits")
        sees = token == "o"
        assert ("later" in browser.text()) is sees
        assert ("Cancel the task" in browser.text()) is sees
        assert browser.all(f"main a[href='{logs}']")
        browser.press(name)
        browser.see("Log in")
    browser.driver.get_log("browser")  # type: ignore[no-untyped-call] # 401 before each login
    place.cluster.children["with-tokens"].stop(20)


#: Has the page keep its streams, and hide as if another tab were shown.
STREAMS = """
const Real = EventSource;
window.streams = [];
window.EventSource = class extends Real {
  constructor(url) { super(url); streams.push(this); }
};
window.hide = (hidden) => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
};
"""


def test_a_tab_has_one_stream_and_none_while_it_is_hidden_and_goes_on_where_it_was(
    browser: Browser, place: Place
) -> None:
    def told(script: str) -> bool:
        return bool(browser.run(f"return {script}"))

    script = {"source": STREAMS}
    added = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", script)
    browser.open("about:blank")
    browser.open(f"{place.url}/#/overview")
    browser.wait(lambda: browser.all("main a[href*='task?id=']"), "an event")
    assert told("streams.length === 1 && streams[0].readyState === 1")
    browser.run("hide(true)")
    assert told("streams.length === 1 && streams[0].readyState === 2")
    missed = place.app.named("mail.send", queue="mail").enqueue("meanwhile")
    assert missed.result(timeout=30) == "sent to meanwhile"
    browser.run("hide(false)")
    assert told("streams.length === 2 && /after=[0-9a-f.]{20}/.test(streams[1].url)")
    browser.wait(
        lambda: any(
            "finished" in row.text for row in browser.all(f"tr:has(a[href*='{missed.id}'])")
        ),
        "what happened while it was hidden",
    )
    browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_a_killed_leader_is_replaced_on_the_open_page_without_a_reload(
    browser: Browser, place: Place
) -> None:
    old = place.leader
    browser.open(f"{place.url}/#/cluster")
    browser.see(f"{old} leads")
    browser.run(FOLLOW)
    browser.wait(lambda: browser.run("return stayed.length"), "the first event")
    place.cluster.children[old].kill()
    began = time.monotonic()

    def led_by_another() -> bool:
        names = [each.text for each in browser.all("#leader")]
        return bool(names) and names[0] != old

    browser.wait(led_by_another, "the new leader")
    took = time.monotonic() - began
    assert took < 5.0
    browser.see("unreachable")
    browser.shot("failover-light")
    # Whatever happened meanwhile was told, once, to the page that was open all the time.
    last = place.app.named("mail.send", queue="mail").enqueue("the last one")
    ended = f"return stayed.some((e) => e.id === '{last.id}' && e.kind === 'finished')"
    browser.wait(lambda: browser.run(ended), "the last event")
    seen = [event["cursor"] for event in browser.run("return stayed")]
    events = [e for e in place.app.events(after=seen[0]) if e.cursor <= seen[-1]]
    assert seen[1:] == [event.cursor for event in events]
    assert "leader_activated" in {event.kind for event in events}
    browser.open(f"{place.url}/#/overview")
    browser.see("Latest events")
    browser.wait(lambda: browser.all("main a[href*='task?id=']"), "an event")
    place.cluster.start_broker(old)
    browser.wait(lambda: "unreachable" not in browser.text(), "the old one")
