"""People with keys: an admin signs in, makes and withdraws a key; its owner sees one project alone, and goes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from app.settings import Settings
from driftline import Driftline
from tests.acceptance.conftest import MODEL, small_job, watched
from tests.browser.conftest import SCHEMES, SCREENSHOTS, WIDTHS, Visit
from worker.local import LocalService

ADMIN = "a-key-of-at-least-thirty-two-characters"


@pytest.fixture(scope="module")
def url(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with keys, where project `default` has a job."""
    del browser
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("service"), port=0, threads_per_item=1, worker_concurrency=1,
        sweep_s=1.0, admin_key=ADMIN,
    )  # fmt: skip
    with LocalService(settings) as service, watched(service), Driftline(service.url, api_key=ADMIN) as client:
        client.submit(small_job(client.upload_model(MODEL)["id"], name="Of another project")).cancel()
        yield service.url


@pytest.fixture
def window(browser: Browser, url: str) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    visit = Visit(context.new_page(), url, allowed=("401",))
    yield visit
    context.close()
    assert visit.complaints == []


def sign_in(page: Page, key: str) -> None:
    page.fill("#key", key)
    page.click("main button[type=submit]")


def test_a_key_is_made_used_and_withdrawn(window: Visit, browser: Browser, url: str):
    page = window.open("/access")
    expect(page.locator("h1")).to_have_text("Sign in")
    sign_in(page, "dl_00000000_" + "A" * 43)
    expect(page.locator("#wrong")).to_be_visible()
    sign_in(page, ADMIN)
    expect(page.locator("h1")).to_have_text("Access")
    page.fill("input[name=name]", "Notebooks of the lab")
    page.fill("input[name=project]", "lab")
    page.click("text=Make the key")
    secret = page.locator("#new-secret").inner_text()
    assert secret.startswith("dl_")
    page.goto(url + "/access")
    expect(page.locator("#new-secret")).to_have_count(0)
    expect(page.locator("#keys-title ~ .scroll")).to_contain_text("Notebooks of the lab")

    other = browser.new_context()
    theirs = Visit(other.new_page(), url)
    mine = theirs.open("/")
    sign_in(mine, secret)
    expect(mine.locator("h1")).to_have_text("Jobs")
    expect(mine.locator("main")).not_to_contain_text("Of another project")
    expect(page.goto(url + "/") and page.locator("main")).to_contain_text("Of another project")
    mine.goto(url + "/access")
    expect(mine.locator("#usage-title")).to_have_text("What project lab uses")
    expect(mine.locator("text=Make the key")).to_have_count(0)

    page.goto(url + "/access")
    row = page.locator("tr", has_text="Notebooks of the lab")
    row.locator("summary").click()
    row.locator("button", has_text="Withdraw").click()
    expect(page.locator("tr", has_text="Notebooks of the lab")).to_contain_text("withdrawn")
    mine.goto(url + "/models")
    expect(mine.locator("h1")).to_have_text("Sign in")
    other.close()
    assert theirs.complaints == []

    page.click("text=Sign out")
    expect(page.locator("h1")).to_have_text("Sign in")
    page.goto(url + "/")
    expect(page.locator("h1")).to_have_text("Sign in")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", list(WIDTHS))
def test_the_page_fits(browser: Browser, url: str, width: int, scheme: str):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    viewport = {"width": width, "height": WIDTHS[width]}
    context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    visit = Visit(context.new_page(), url)
    page = visit.open("/access")
    sign_in(page, ADMIN)
    page.fill("input[name=name]", f"{scheme} {width}")
    page.click("text=Make the key")
    expect(page.locator("#new-secret")).to_be_visible()
    page.screenshot(path=SCREENSHOTS / f"access-{width}-{scheme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
    assert visit.complaints == []
