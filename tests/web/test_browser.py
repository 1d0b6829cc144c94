"""The pages in a real browser: seen, read aloud, acted on, followed as they change."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

from dicomnode import web
from tests.contract.worklist import making
from tests.web.conftest import PASSWORD, STUDIES, instances, state_of

pytestmark = pytest.mark.peer

HANG_MILLISECONDS = 300_000
ARGUMENTS = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]
PAGES = [
    "/",
    "/problems",
    "/destinations",
    "/associations",
    "/models",
    "/stats",
    "/backfill",
]
PAGES += ["/connect", "/sign-in"]


@contextmanager
def served(hands) -> Iterator[str]:
    app = web.create(hands.room, "secret", session_seconds=3600)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            threading.Event().wait(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def chromium(require_command):
    path = shutil.which("chromium") or require_command("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS, timeout=HANG_MILLISECONDS
        )
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """A function that opens a page which must not complain on its console."""
    contexts, complaints = [], []

    def open_page(url: str, **options) -> Page:
        contexts.append(chromium.new_context(base_url=url, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(HANG_MILLISECONDS)
        page.on(
            "console",
            lambda said: said.type == "error" and complaints.append(said.text),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_page
    assert complaints == []
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(hands, opened, scheme):
    paths = [*PAGES, f"/jobs/{hands.jobs['done']}", f"/jobs/{hands.jobs['failed']}"]
    paths += [f"/studies/{STUDIES['waiting']}", f"/studies/{STUDIES['done']}"]
    with served(hands) as url:
        page = opened(url, color_scheme=scheme)
        for path in paths:
            page.goto(path)
            found = Axe().run(page)
            assert found.violations_count == 0, f"{path}: {found.generate_report()}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_an_admin_may_do_is_accessible_too(closed, opened, scheme):
    closed.worklist.holds.hold_study(STUDIES["dead"], making.after(20), "anna")
    paths = [f"/studies/{STUDIES[which]}" for which in ("waiting", "dead")]
    paths += [f"/jobs/{closed.jobs[which]}" for which in ("failed", "done")]
    with served(closed) as url:
        page = opened(url, color_scheme=scheme)
        page.goto("/sign-in")
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Sign out").wait_for()
        for path in [*paths, "/destinations", "/audit"]:
            page.goto(path)
            for summary in page.locator("summary").all():
                summary.click()
            found = Axe().run(page)
            assert found.violations_count == 0, f"{path}: {found.generate_report()}"


def test_a_narrow_window_scrolls_tables_and_nothing_else(hands, opened):
    with served(hands) as url:
        page = opened(url, viewport={"width": 320, "height": 640})
        own = (f"/jobs/{hands.jobs['done']}", f"/studies/{STUDIES['done']}")
        for path in (*PAGES, *own):
            page.goto(path)
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= 320, path


def test_everything_is_read_without_javascript(hands, opened):
    with served(hands) as url:
        page = opened(url, java_script_enabled=False)
        page.goto("/")
        assert page.locator("tbody tr").count() == len(STUDIES)
        page.select_option("select[name=state]", "FAILED")
        page.get_by_role("button", name="Filter").click()
        page.wait_for_url("**state=FAILED**")
        page.get_by_role("link", name="FAILED").click()
        page.wait_for_url("**/jobs/**")
        assert "no pixels; see the log" in page.inner_text("main")


def test_an_operator_repairs_a_job_with_the_keyboard(closed, opened):
    with served(closed) as url:
        page = opened(url)
        page.goto("/sign-in")
        page.get_by_label("Name").fill("otto")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Sign out").wait_for()
        page.goto(f"/jobs/{closed.jobs['failed']}")
        page.get_by_role("button", name="Retry").focus()
        with posted(page):
            page.keyboard.press("Enter")
        page.get_by_text("SCHEDULED").first.wait_for()
    assert state_of(closed, "failed") == "SCHEDULED"


def posted(page: Page):
    """Until what is sent within has its answer: a page may show the word before."""
    return page.expect_response(lambda said: said.request.method == "POST")


def speaks(page: Page, code: str) -> None:
    """Choose a language, and see the page in it."""
    footer = page.get_by_role("contentinfo")
    footer.locator("select").select_option(code)
    footer.get_by_role("button").click()
    page.locator(f"html[lang={code}]").wait_for(state="attached")


def unwanted(hands, study: str) -> None:
    """A study that is complete, and that no rule wants."""
    studies, at = hands.worklist.studies, making.after(700)
    hands.worklist.intake.record(making.received(study=study))
    (one,) = (one for one in studies.receiving() if one.study_instance_uid == study)
    assert studies.complete(one, at)
    (one,) = (one for one in studies.unrouted() if one.study_instance_uid == study)
    assert studies.route(one, [], "no rule", at)


def test_an_admin_presses_every_button(closed, opened, tmp_path):
    """Each act of a job, a study and a destination, and what the page offers next."""
    one, store = making.received(study="1.2.3.7"), instances(tmp_path)
    stored = store.put(one.key, [b"pixels"])
    closed.worklist.intake.record(replace(one, stored=stored))
    making.scheduled(closed.worklist, study="1.2.3.9")
    unwanted(closed, "1.2.3.8")
    (row,) = closed.worklist.views.worklist(state="SCHEDULED")
    job, waiting = f"/jobs/{row['job_id']}", f"/studies/{STUDIES['waiting']}"
    pressed = [
        (job, "Hold", "Release"),
        (job, "Release", "Hold"),
        (job, "Cancel", "Retry"),
        (f"/jobs/{closed.jobs['done']}", "Send again", ""),
        (waiting, "Hold", "Release"),
        (waiting, "Release", "Hold"),
        (waiting, "Complete now", ""),
        ("/studies/1.2.3.8", "Route again", ""),
    ]
    with served(closed) as url:
        page = opened(url)
        page.goto("/sign-in")
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Sign out").wait_for()
        for path, button, then in pressed:
            page.goto(path)
            with posted(page):
                page.locator("main").get_by_role("button", name=button).click()
            if then:
                page.locator("main").get_by_role("button", name=then).wait_for()
        speaks(page, "de")
        speaks(page, "en")
        page.goto("/destinations")
        page.get_by_role("button", name="Echo").first.click()
        page.get_by_role("status").first.wait_for()
        page.goto("/studies/1.2.3.7")
        page.locator("summary").first.click()
        page.locator("input[name=reason]").fill("sent by mistake")
        page.locator("form[action$='/purge'] button").click()
        page.wait_for_url(url + "/")
    assert not list(store.locations())
    told = closed.worklist.views.events()
    assert {
        "job hold", "job release", "job cancel", "delivery resend", "study hold",
        "study release", "study force complete", "study reroute", "study purge",
    } <= {one["kind"] for one in told}  # fmt: skip


def test_the_worklist_says_that_it_has_changed(hands, opened):
    with served(hands) as url:
        page = opened(url)
        with page.expect_request("**/events*"):
            page.goto("/")
        assert not page.locator("#live").is_visible()
        hands.worklist.intake.record(making.received(study="1.2.9"))
        page.locator("#live").wait_for(state="visible")
        page.get_by_role("link", name="Show").click()
        page.locator("tbody tr").nth(len(STUDIES)).wait_for()
        page.close()


def test_the_pictures_of_a_report_are_seen(hands, opened):
    with served(hands) as url:
        page = opened(url)
        page.goto(f"/jobs/{hands.jobs['done']}")
        picture = page.locator("figure img").first
        picture.scroll_into_view_if_needed()
        page.wait_for_function(
            "image => image.complete && image.naturalWidth > 300",
            arg=picture.element_handle(),
        )
