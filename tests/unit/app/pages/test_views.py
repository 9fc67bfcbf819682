"""What the other pages show."""

from __future__ import annotations

import pytest

from app.pages.histogram import Steps, histogram
from app.pages.sparkline import sparkline
from app.pages.views.events import item_words
from app.pages.views.fields import field_groups
from app.pages.views.reference import reference
from simulator.config import PRESETS, effective
from tests.unit.app.jobs.submissions import add_cells, body, put, submit
from tests.unit.app.pages.conftest import CELLS


def test_the_list_has_the_headline_numbers_of_the_results(client, show, job_id):
    [series] = client.get(f"/v1/jobs/{job_id}/results").json()["series"]
    last = series["points"][-1]
    text = show("/").text
    assert f"{100 * last['mean']:.1f} % ± {100 * (last['ci95'][1] - last['mean']):.1f} direct" in text
    assert "accuracy at 1 h" in text


@pytest.mark.parametrize("query", ["q=digi", "q=PC", "tag=pcm", "state=succeeded", "q={id}"])
def test_filters_find_by_name_tag_state_and_id(client, show, job_id, query):
    submit(client, body(client, name="another"))
    page = show(f"/?{query.format(id=job_id)}")
    assert page.all("a", href=f"./jobs/{job_id}")
    assert "another" not in page.text


def test_a_filter_that_nothing_passes_leads_back(show, job_id):
    page = show("/?q=nothing-like-it")
    assert "No job is like that" in page.text


def test_an_empty_service_invites(show):
    assert "No job yet" in show("/").text
    assert "No model yet" in show("/models").text
    assert "No worker has been seen" in show("/workers").text


def test_pages_of_the_list_follow_each_other(client, show):
    ids = [submit(client, body(client, seed=seed)) for seed in range(3)]
    page = show("/?limit=2&tag=")
    assert not page.all("a", href=f"./jobs/{ids[0]}")
    [following] = page.all("a", rel="next")
    assert show(f"/{following['href']}").all("a", href=f"./jobs/{ids[0]}")


def test_a_comparison_has_paired_differences_and_what_differs(client, show, job_id):
    config = {"preset": "PCMExamplePreset", "overrides": {"forward": {"out_noise": 0.07}}}
    other = submit(client, body(client, rpu_config=config))
    add_cells(client, other, *((*cell[:3], cell[3] - 1, cell[4]) for cell in CELLS))
    put(client, other, "succeeded")
    text = show(f"/compare?job={job_id}&job={other}").text
    assert "1 h 85.0 % 75.0 % -10.00 points" in text
    assert "forward.out_noise 0.02 0.07" in text
    assert "chip by chip" in text


def test_jobs_that_cannot_be_compared_are_a_page_that_says_why(show, job_id):
    assert "there is no job 'x'" in show(f"/compare?job={job_id}&job=x", 422).text


def test_one_job_is_not_enough_and_is_checked_already(show, job_id):
    page = show(f"/compare?job={job_id}")
    [box] = page.all("input", type="checkbox", value=job_id)
    assert "checked" in box


def test_a_model_shows_its_layers_and_its_jobs(client, show, job_id):
    model = client.get(f"/v1/jobs/{job_id}").json()["spec"]["model"]
    page = show(f"/models/{model}")
    for layer in client.get(f"/v1/models/{model}").json()["layers"]:
        assert layer["name"] in page.text
    assert page.all("a", href=f"../jobs/{job_id}")
    assert "Not verified yet" in page.text


def test_a_dataset_shows_its_shapes_and_its_jobs(client, show, job_id):
    dataset = client.get(f"/v1/jobs/{job_id}").json()["spec"]["dataset"]
    page = show(f"/datasets/{dataset}")
    assert page.all("a", href=f"../jobs/{job_id}")
    assert "10 classes" in show("/datasets").text


def test_the_form_starts_from_a_job(client, show, job_id):
    page = show(f"/new?from={job_id}")
    [facts] = page.all("div", id="facts")
    assert '"preset": "PCMExamplePreset"' in facts["data-start"]
    assert "This form starts from Digits" in page.text


def test_every_field_of_every_preset_has_a_meaning():
    for name, make in PRESETS.items():
        for group in field_groups(effective(make())):
            assert group.meaning, (name, group.name)
            for row in group.rows:
                assert row.meaning, (name, row.pointer)


def test_the_reference_has_every_operation(client, show):
    document = client.get("/openapi.json").json()
    page = show("/docs")
    for path in document["paths"].values():
        for operation in path.values():
            assert page.all("details", id=operation["operationId"])
    found = reference(document)
    assert [group.name for group in found.groups] == [tag["name"] for tag in document["tags"]]
    assert {one.name for one in found.schemas} == set(document["components"]["schemas"])
    submission = next(one for group in found.groups for one in group.operations if one.id == "submit_job")
    assert submission.body_schema == "JobCreate"
    assert submission.body_example is not None


def test_a_small_curve_has_a_line_a_variant_and_no_style():
    drawn = sparkline({"direct": [(0.0, 0.9), (3600.0, 0.8)], "hwa": [(1.0, 0.9)]}, 0.95, 'a "title"')
    assert drawn is not None
    assert drawn.count("<polyline") == 2
    assert 'class="digital"' in drawn
    assert "style" not in drawn
    assert "a &#34;title&#34;" in drawn
    assert sparkline({}, 0.9, "") is None
    assert sparkline({"direct": [(1.0, 1e12), (2.0, 1e12)]}, None, "") is not None


def test_a_histogram_marks_where_a_converter_clips():
    shown = [Steps("inputs", [0, 1, 2, 1], "programmed", "#0072B2")]
    assert 'class="bound"' in histogram(shown, limit=1.25, unit="of the bound", bound=1.0)
    assert 'class="bound"' not in histogram(shown, limit=1.25, unit="of the bound")
    assert "style" not in histogram([], limit=1.0, unit="")


@pytest.mark.parametrize(
    ("key", "said"),
    [("evaluate:hwa:5", "evaluating chips of hwa, from chip 5 on"), ("finetune:hwa", "fine-tuning (hwa)"),
     ("verify", "comparing the import with a reference"), ("brew:tea", "brew (tea)")],
)  # fmt: skip
def test_work_items_have_words(key, said):
    assert item_words(key) == said
