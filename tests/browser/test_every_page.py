"""Every page, in light and dark, wide and narrow: it fits, it is accessible, and nothing goes wrong on it."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import SCHEMES, SCREENSHOTS, WIDTHS, Site, StartVisit

GRAVE = ("serious", "critical")
# Its colours are those of the wide pages, and its layout that of the light ones: looked at, but not judged anew.
SAME = (390, "dark")


def settle(page: Page) -> None:
    """Wait until figures are drawn."""
    expect(page.locator(".plot:not(.is-empty):not(:has(canvas))")).to_have_count(0)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", list(WIDTHS))
def test_pages_fit_and_are_accessible(site: Site, visit: StartVisit, width: int, scheme: str):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    window = visit(width=width, scheme=scheme)
    grave = {}
    for name, path in site.paths.items():
        page = window.open(path)
        settle(page)
        page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        if (width, scheme) == SAME:
            continue
        found = [one for one in Axe().run(page).response["violations"] if one["impact"] in GRAVE]
        grave |= {f"{name}: {one['id']}": [node["html"][:200] for node in one["nodes"][:3]] for one in found}
    assert grave == {}


def test_pages_can_be_read_without_scripts(site: Site, visit: StartVisit):
    window = visit(java_script_enabled=False)
    page = window.open(f"/jobs/{site.first}")
    picture = page.locator("img.drawn").first
    picture.scroll_into_view_if_needed()
    page.wait_for_load_state("load")
    assert picture.evaluate("one => one.complete && one.naturalWidth > 0")
    assert "Digital" in page.locator(".headline").inner_text()
    assert page.locator("#table-title + .scroll tbody tr").count() == 4
    assert not page.locator("button.js-only, .actions").first.is_visible()
    assert "curl" in window.open("/new").locator("main").inner_text()


def test_an_unknown_job_is_a_page(visit: StartVisit):
    page = visit(allowed=("404",)).open("/jobs/0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10")
    assert page.locator("h1").inner_text() == "Not found"
