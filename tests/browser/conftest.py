"""A real service, and a real browser that looks at it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from app.settings import Settings
from driftline import Driftline
from tests.acceptance.conftest import MODEL, small_job, watched
from worker.local import LocalService

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
WIDTHS = {1440: 900, 390: 844}
SCHEMES = ("light", "dark")
PATIENCE_MS = 20_000.0
HOSTILE = "<script>alert(1)</script> <b>\u0645\u0631\u062d\u0628\u0627 \U0001f9ea " + "without_any_space_" * 8
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def browser_path() -> str | None:
    """Return the browser that the tests drive; None where there is none."""
    chosen = os.environ.get("DRIFTLINE_TEST_BROWSER")
    return chosen or next(filter(None, map(shutil.which, _NAMES)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless browser."""
    path = browser_path()
    if path is None:
        message = "no chromium on the PATH; DRIFTLINE_TEST_BROWSER may name another browser"
        if os.environ.get("DRIFTLINE_TEST_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        # Inside a container, the browser cannot make a sandbox of its own.
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@dataclass(frozen=True)
class Site:
    """The service with two jobs that have ended.

    Attributes:
        service: its processes.
        client: speaks to it.
        url: where it is.
        model: an uploaded model.
        first: a job with fine-tuning and every variant.
        second: another job on the same chips.
        strange: a job without results, whose name is long and means harm.
    """

    service: LocalService
    client: Driftline
    url: str
    model: str
    first: str
    second: str
    strange: str

    @property
    def paths(self) -> dict[str, str]:
        """Every page by a name."""
        both = f"job={self.first}&job={self.second}"
        return {
            "jobs": "/",
            "job": f"/jobs/{self.first}",
            "strange": f"/jobs/{self.strange}",
            "comparison": f"/compare?{both}",
            "choice": "/compare",
            "new": f"/new?from={self.first}",
            "models": "/models",
            "model": f"/models/{self.model}",
            "datasets": "/datasets",
            "dataset": "/datasets/builtin:mnist10k",
            "configurations": "/configs?show=HermesPreset&against=PCMExamplePreset",
            "workers": "/workers",
            "access": "/access",
            "cost": "/cost?tag=pcm",
            "reference": "/docs",
        }


@pytest.fixture(scope="session")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A real service on this machine, for all tests."""
    del browser  # without one there is nothing to start for
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("service"),
        port=0,
        threads_per_item=1,
        worker_concurrency=1,
        sweep_s=1.0,
    )
    with LocalService(settings) as service, watched(service), Driftline(service.url) as client:
        model = client.upload_model(MODEL)["id"]
        job = small_job(model, name="Digits on phase-change memory", tags=["pcm", "browser"])
        job["hardware"] = {"profile": "HERMES14nm"}
        job["finetune"] |= {"epochs": 2, "max_samples": 320, "validation_fraction": 0.2}
        job["evaluate"] |= {"t_inference": [0, 1, 3600, 31536000], "max_samples": 100}
        noisier = {"preset": "PCMExamplePreset", "overrides": {"forward": {"out_noise": 0.2}}}
        other = {**job, "name": "A noisier chip", "rpu_config": noisier, "finetune": None}
        other["evaluate"] = {**job["evaluate"], "variants": ["digital", "direct"]}
        first, second = (client.submit(one) for one in (job, other))
        for submitted in (first, second):
            submitted.wait(progress=False)
        strange = client.submit({**other, "name": HOSTILE, "tags": [HOSTILE[:64]], "seed": 9})
        strange.cancel()
        yield Site(service, client, service.url, model, first.id, second.id, strange.id)


@dataclass
class Visit:
    """A browser window, and what went wrong in it.

    Attributes:
        page: the window.
        url: of the service.
        complaints: errors on the console, exceptions, and requests to other hosts.
    """

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("request", self._on_request)

    def _on_console(self, message: object) -> None:
        text = f"{message.type}: {message.text}"  # type: ignore[attr-defined]
        if message.type in ("error", "warning") and not any(one in text for one in self.allowed):  # type: ignore[attr-defined]
            self.complaints.append(text)

    def _on_request(self, request: Request) -> None:
        if urlsplit(request.url).scheme not in ("data", "blob") and not request.url.startswith(self.url):
            self.complaints.append(f"another host: {request.url}")

    def open(self, path: str) -> Page:
        """Open a page of the service and wait for its scripts."""
        self.page.goto(self.url + path, wait_until="load")
        return self.page


StartVisit = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[StartVisit]:
    """Open windows; at the end, nothing has gone wrong in any of them."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def start(
        *, width: int = 1440, scheme: str = "light", allowed: tuple[str, ...] = (), **options: object
    ) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": WIDTHS[width]},
            color_scheme=scheme,
            reduced_motion="reduce",
            **options,
        )
        contexts.append(context)
        visits.append(Visit(context.new_page(), site.url, allowed=allowed))
        return visits[-1]

    yield start
    complaints = [complaint for one in visits for complaint in one.complaints]
    for context in contexts:
        context.close()
    assert complaints == []
