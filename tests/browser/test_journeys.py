"""What people do: submit a job, watch it, measure it, compare it; with the mouse, and once without."""

from __future__ import annotations

import json
import re

from playwright.sync_api import expect

from tests.acceptance.conftest import MODEL, kill, small_job
from tests.browser.conftest import Site, StartVisit

JOB_MS = 120_000.0


def lifetimes(page) -> list[str]:
    """The addresses of the requests for lifetimes from now on."""
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "/lifetime" in one.url else None)
    return asked


def test_a_job_is_submitted_watched_and_compared_through_pages_alone(site: Site, visit: StartVisit):
    window = visit()
    page = window.open("/new")
    page.set_input_files("#model-file", MODEL)
    expect(page.locator("#model-found")).to_contain_text("4 of 6 layers on tiles")
    expect(page.locator("#model-found")).to_contain_text("normalisation is computed in digital")
    page.select_option("#dataset", "builtin:mnist10k")
    expect(page.locator("#dataset-found")).to_contain_text("10 classes")
    page.fill("#overrides", '{"forward": {"out_noise": 0.06}}')
    page.fill("#repeats", "3")
    page.fill("#max-samples", "100")
    page.fill("#name", "Sent from a page")
    expect(page.locator("#overrides-state")).to_contain_text("This can be simulated.")
    expect(page.locator("#dry")).to_contain_text("Tiles")
    spec = json.loads(page.locator("#as-json").text_content() or "")
    assert spec["rpu_config"]["overrides"] == {"forward": {"out_noise": 0.06}}
    page.click("#submit")
    page.wait_for_url(re.compile("/jobs/"))
    expect(page.locator("h1")).to_have_text("Sent from a page")
    expect(page.locator(".facts .state")).to_have_text("succeeded", timeout=JOB_MS)
    expect(page.locator(".headline")).to_contain_text("One day after programming")
    expect(page.locator("#table-title + .scroll tbody tr")).to_have_count(5)
    expect(page.locator("#curve canvas")).to_be_visible()
    page.click("text=Compare")
    page.check(f"input[name=job][value='{site.second}']")
    page.click("#compare")
    expect(page.locator("h1")).to_have_text("Comparison")
    expect(page.locator("#compare-plot canvas")).to_be_visible()
    expect(page.locator("#differ-title ~ .scroll")).to_contain_text("forward.out_noise")


def test_faults_stand_beside_their_fields(site: Site, visit: StartVisit):
    page = visit(allowed=("422",)).open(f"/new?model={site.model}&dataset=builtin:mnist10k")
    page.fill("#overrides", '{"forward": {"out_nois": 0.06}}')
    expect(page.locator("[data-fault='/rpu_config']")).to_contain_text("out_noise")
    page.fill("#overrides", "")
    page.fill("#repeats", "0")
    expect(page.locator("[data-fault='/evaluate/repeats']")).to_be_visible()
    page.fill("#repeats", "2")
    expect(page.locator("[data-fault='/evaluate/repeats']")).to_be_hidden()
    page.fill("#more-times", "2 weeks, tomorrow")
    expect(page.locator("[data-fault='/evaluate/t_inference']")).to_contain_text("tomorrow")


def test_the_editor_completes_names_of_fields(site: Site, visit: StartVisit):
    page = visit(allowed=("422",)).open(f"/new?model={site.model}")
    page.click("#overrides")
    page.keyboard.type('{"forw')
    expect(page.locator("#completions li").first).to_contain_text("forward")
    page.keyboard.press("Enter")
    page.keyboard.type('"out_noi')
    expect(page.locator("#completions li").first).to_contain_text("out_noise")
    page.keyboard.press("Enter")
    page.keyboard.type("0.05")
    expect(page.locator("#overrides")).to_have_value('{"forward": {"out_noise": 0.05}')
    page.keyboard.press("End")
    page.keyboard.type("}")
    expect(page.locator("#overrides-state")).to_contain_text("This can be simulated.")


def test_the_threshold_is_dragged_and_typed(site: Site, visit: StartVisit):
    page = visit().open(f"/jobs/{site.first}")
    handle = page.locator("#curve .handle")
    expect(handle).to_be_visible()
    before = page.locator(".headline .lead").inner_text()
    asked = lifetimes(page)
    box = handle.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 80, box["y"] + 9)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 60, steps=4)
    page.mouse.up()
    page.wait_for_url(re.compile("accuracy="))
    expect(page.locator(".headline .lead")).not_to_have_text(before)
    assert 1 <= len(asked) <= 2  # it asks when the line rests
    page.fill("#threshold", "80")
    page.wait_for_url(re.compile("accuracy=0.8$"))
    expect(page.locator(".headline .lead")).to_contain_text("80 %")
    page.reload()
    expect(page.locator("#threshold")).to_have_value("80")


def test_chips_and_layers_are_chosen_and_kept_in_the_address(site: Site, visit: StartVisit):
    page = visit().open(f"/jobs/{site.first}")
    with page.expect_response(re.compile("cells=true")):
        page.check("#chips")
    page.wait_for_url(re.compile("chips=true"))
    page.click("table[data-sortable=layers] a >> text=fc2")
    page.wait_for_url(re.compile("layer=fc2"))
    expect(page.locator("#layer h3")).to_contain_text("fc2")
    assert page.locator("#layer svg.histogram").count() >= 3
    page.click("table[data-sortable=layers] button.sort >> text=Signal to noise")
    page.wait_for_url(re.compile("sort=layers"))
    page.reload()
    expect(page.locator("#chips")).to_be_checked()
    expect(page.locator("#layer h3")).to_contain_text("fc2")
    assert page.locator("th[aria-sort=ascending]").count() == 1


def test_the_keyboard_is_enough(site: Site, visit: StartVisit):
    """From the list to a job, its threshold, more chips of it, and its deletion, without a mouse."""
    page = visit().open("/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")

    def tab_to(selector: str) -> None:
        for _ in range(120):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement?.matches(selector)", selector):
                return
        raise AssertionError(f"no way by Tab to {selector}")

    tab_to(f"a[href='./jobs/{site.second}']")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("A noisier chip")
    expect(page.locator("#curve canvas")).to_be_visible()
    tab_to("button[data-dialog=extend-dialog]")
    page.keyboard.press("Enter")
    expect(page.locator("#extend-dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#extend-dialog")).to_be_hidden()
    tab_to("#threshold")
    page.keyboard.press("Control+A")
    page.keyboard.type("50")
    page.wait_for_url(re.compile("accuracy=0.5$"))
    page.locator("button[data-dialog=extend-dialog]").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Control+A")
    page.keyboard.type("6")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/jobs/" in url and site.second not in url)
    expect(page.locator(".facts .state")).to_have_text("succeeded", timeout=JOB_MS)
    made = page.url.rpartition("/")[2].partition("?")[0]
    tab_to("button[data-dialog=delete-dialog]")
    page.keyboard.press("Enter")
    tab_to("#delete-dialog button.danger")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.url}/")
    assert made not in page.content()


def test_a_page_recovers_when_the_service_comes_back(site: Site, visit: StartVisit):
    lost = ("ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY", "503", "ERR_NETWORK", "Failed to load resource")
    spec = small_job(site.model, name="Through a restart", seed=8)
    spec["finetune"]["epochs"] = 6
    job = site.client.submit(spec)
    page = visit(allowed=lost).open(f"/jobs/{job.id}")
    expect(page.locator(".facts .state")).to_have_text("running", timeout=JOB_MS)
    epochs = page.locator("[data-live=training] tbody tr")
    expect(epochs).not_to_have_count(epochs.count(), timeout=JOB_MS)  # the page listens by now
    kill(site.service.process_id("api"))  # and it is started again, as `make run` does
    expect(page.locator("#connection")).to_contain_text("does not answer")
    expect(page.locator("#connection")).to_contain_text("is back", timeout=JOB_MS)
    expect(page.locator(".facts .state")).to_have_text("succeeded", timeout=JOB_MS)
    expect(page.locator("#table-title + .scroll tbody tr")).to_have_count(3)


def test_what_costs_accuracy_and_energy_is_shown_and_can_be_chosen(site: Site, visit: StartVisit):
    types = ("error_budget", "layer_sensitivity", "advice")
    spec = small_job(site.model, name="With analyses", seed=9, finetune=None)
    few = {"t_inference": [3600], "repeats": 2, "max_samples": 50, "variants": ["digital", "direct"]}
    spec["evaluate"] |= few
    spec["analyses"] = [{"type": one} for one in types]
    spec["hardware"] = {"profile": "HERMES14nm"}
    job = site.client.submit(spec)
    page = visit().open(f"/jobs/{job.id}")
    expect(page.locator(".facts .state")).to_have_text("succeeded", timeout=2 * JOB_MS)
    section = page.locator("[data-live=analyses]")
    for title in ("Error budget", "Layer sensitivity", "Advice"):
        expect(section.locator("h3", has_text=title)).to_be_visible()
    expect(section.locator("table").first).to_contain_text("programming")
    for layer in ("conv1", "fc2"):
        expect(section).to_contain_text(layer)
    cost = page.locator("#cost")
    expect(cost).to_contain_text("HERMES14nm")
    page.goto(f"{site.url}/jobs/{job.id}?hardware=ISAAC32nm")
    expect(page.locator("#cost")).to_contain_text("ISAAC32nm")
    for scheme in ("light", "dark"):
        narrow = visit(width=390, scheme=scheme).open(f"/jobs/{job.id}")
        expect(narrow.locator("[data-live=analyses]")).to_be_visible()
        assert narrow.evaluate("document.documentElement.scrollWidth <= innerWidth")
    without = visit(java_script_enabled=False).open(f"/jobs/{job.id}")
    expect(without.locator("[data-live=analyses] svg").first).to_be_visible()
    assert without.locator("[data-live=analyses] table").count() >= len(types)


def test_chips_come_in_waves_where_the_form_says_so(site: Site, visit: StartVisit):
    page = visit().open(f"/new?model={site.model}&dataset=builtin:mnist10k")
    expect(page.locator("#waves")).to_be_hidden()
    page.check("#in-waves")
    page.fill("#until-ci95", "0.0001")
    page.fill("#at-least", "2")
    page.fill("#at-most", "4")
    page.fill("#max-samples", "50")
    page.fill("#name", "In waves")
    expect(page.locator("#dry")).to_contain_text(" to ")
    spec = json.loads(page.locator("#as-json").text_content() or "")
    assert spec["evaluate"]["repeats"] == {"until_ci95": 0.0001, "at_least": 2, "at_most": 4}
    page.click("#submit")
    page.wait_for_url(re.compile("/jobs/"))
    expect(page.locator(".facts .state")).to_have_text("succeeded", timeout=JOB_MS)
    expect(page.locator("#table-title + .scroll")).to_contain_text("waves:")
    page.click("text=Clone into the form")
    expect(page.locator("#in-waves")).to_be_checked()
    expect(page.locator("#at-most")).to_have_value("4")


def test_chips_are_served_where_the_form_says_so(site: Site, visit: StartVisit):
    page = visit().open(f"/new?model={site.model}&dataset=builtin:mnist10k")
    expect(page.locator(".service-times")).to_be_hidden()
    page.select_option("#upkeep", "schedule")
    page.fill(".service-times", "a while")
    expect(page.locator("[data-fault='/evaluate/maintenance']")).to_contain_text("is no time")
    page.fill(".service-times", "1 week")
    page.click("#add-service")
    page.select_option(".service:nth-child(2) .service-when", "at")
    page.fill(".service:nth-child(2) .service-times", "1 h, 1 day")
    page.click("#add-service")
    page.click(".service:nth-child(3) .service-remove")
    page.fill("#max-samples", "50")
    page.fill("#name", "Served")
    spec = json.loads(page.locator("#as-json").text_content() or "")
    assert spec["evaluate"]["maintenance"] == [
        {"every": 604800, "do": ["compensate"]},
        {"at": [3600, 86400], "do": ["compensate"]},
    ]
    page.click("#submit")
    page.wait_for_url(re.compile("/jobs/"))
    expect(page.locator(".facts .state")).to_have_text("succeeded", timeout=JOB_MS)
    expect(page.locator("#curve-reading")).to_contain_text("services")
    page.click("text=Clone into the form")
    expect(page.locator("#upkeep")).to_have_value("schedule")
    expect(page.locator(".service-times").first).to_have_value("604800 s")
    expect(page.locator(".service-times").last).to_have_value("3600 s, 86400 s")


def test_samples_are_drawn_and_requests_are_tried_out(site: Site, visit: StartVisit):
    page = visit().open("/datasets/builtin:mnist10k")
    is_drawn = "document.querySelector('img.samples').naturalWidth > 100"
    page.wait_for_function(is_drawn)
    page = visit().open("/new?dataset=builtin:digits")
    page.wait_for_function(is_drawn)
    page = visit(allowed=("404",)).open("/docs")
    page.click("a[href='#get_dataset']")
    form = page.locator("#get_dataset form.try")
    form.locator("button").click()
    expect(form.locator("[role=status]")).to_contain_text("{dataset_id}")
    form.locator("input").fill("/v1/datasets/builtin:digits")
    form.locator("button").click()
    expect(form.locator("[role=status]")).to_contain_text("200")
    expect(form.locator("pre")).to_contain_text('"classes": 10')
    form.locator("input").fill("/v1/datasets/nothing")
    form.locator("button").click()
    expect(form.locator("[role=status]")).to_contain_text("404")
    form.locator("input").fill("//example.org/")
    form.locator("button").click()
    expect(form.locator("[role=status]")).to_contain_text("a path of this service")
