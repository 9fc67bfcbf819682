"""The page of a large job in a real browser: `python -m benchmarks.pages [cells]`.

A local service runs a small real job, to which cells are added until it has as many as asked for: 400 chips
at each time. A browser with an empty cache opens its page several times. A row is a time, to the first paint
or to the drawn curve, or a size: of the page with its files, or of the data of its figures.
"""

from __future__ import annotations

import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import insert

from app.db.session import Database
from app.db.tables import Cell, Job
from app.settings import Settings
from driftline import Driftline
from tests.browser.conftest import browser_path
from worker.local import LocalService

MODEL = Path(__file__).parents[1] / "examples" / "mnist_cnn.onnx"
_CHIPS = 400
_VISITS = 5
_FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


@dataclass(frozen=True)
class Visit:
    """One visit with an empty cache: times in ms since the navigation began, sizes in kB."""

    first_paint_ms: float
    curve_ms: float
    page_kb: float
    data_kb: float


def main(cells: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), port=0, worker_concurrency=1, sweep_s=1.0)
        with LocalService(settings) as service, Driftline(service.url) as client:
            job_id = _large_job(client, settings, cells)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
                visits = [_visit(browser, f"{service.url}/jobs/{job_id}") for _ in range(_VISITS + 1)]
    first, *others = visits
    print(f"{cells:,} cells; the first visit after a start: paint {first.first_paint_ms:.0f} ms")
    for name in ("first_paint_ms", "curve_ms", "page_kb", "data_kb"):
        values = [getattr(one, name) for one in others]
        print(f"{name}: {median(values):.0f} ({min(values):.0f} to {max(values):.0f})")
    return 0


def _large_job(client: Driftline, settings: Settings, cells: int) -> str:
    times = [0.0, *(10.0 ** (8 * step / 24) for step in range(cells // _CHIPS - 1))]
    model = client.upload_model(MODEL)["id"]
    job = client.submit(
        {
            "name": "Large", "model": model, "dataset": "builtin:mnist10k",
            "rpu_config": {"preset": "PCMExamplePreset"},
            "evaluate": {"t_inference": times, "repeats": 1, "max_samples": 100},
        }
    )  # fmt: skip
    job.wait(progress=False)
    draw = random.Random(cells)  # noqa: S311 - no secrets
    rows = [_cell(job.id, chip, time, draw) for time in times for chip in range(1, _CHIPS)]
    database = Database(settings.resolved_database_url)
    with database.transaction() as session:
        session.execute(insert(Cell), rows)
        session.get_one(Job, job.id).results_version += len(rows)
    database.dispose()
    return str(job.id)


def _cell(job_id: str, chip: int, time_s: float, draw: random.Random) -> dict[str, Any]:
    correct = min(100, round(98 - 0.5 * draw.random() * (time_s > 0) * len(f"{time_s:.0f}") + draw.gauss()))
    counts = {"correct": correct, "total": 100, "loss_sum": 10.0}
    return {
        "job_id": job_id, "variant": "direct", "repeat": chip, "t_inference": time_s, "counts": counts,
        "metric": correct / 100, "loss": 0.1,
    }  # fmt: skip


def _visit(browser: Browser, url: str) -> Visit:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    addresses: dict[str, str] = {}
    sizes: dict[str, float] = {}

    def on_request(sent: dict[str, Any]) -> None:
        addresses[sent["requestId"]] = sent["request"]["url"]

    def on_finish(done: dict[str, Any]) -> None:
        sizes[done["requestId"]] = done["encodedDataLength"]

    devtools.on("Network.requestWillBeSent", on_request)
    devtools.on("Network.loadingFinished", on_finish)
    page.goto(url)
    page.wait_for_selector("#curve canvas")
    curve_ms = page.evaluate("performance.now()")
    page.wait_for_load_state("networkidle")
    data = sum(size for number, size in sizes.items() if "/v1/" in addresses[number])
    found = Visit(page.evaluate(_FIRST_PAINT), curve_ms, (sum(sizes.values()) - data) / 1000, data / 1000)
    context.close()
    return found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
