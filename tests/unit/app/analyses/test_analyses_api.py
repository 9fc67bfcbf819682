"""`GET /v1/jobs/{id}/analyses`, and what a job may ask for."""

from __future__ import annotations

import csv
import io
import math
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from pyarrow import parquet

from app.db.tables import AnalysisRow, Job, WorkItem
from app.engine.kinds.analyses.subject import Subject
from simulator.config.analyses import ErrorBudget
from simulator.config.analyses.advice import OBSERVED
from simulator.config.analyses.advice import setting_of as advice_setting
from simulator.config.analyses.error_budget import effects_on, evaluated, setting_of
from simulator.config.analyses.layer_sensitivity import SNR
from simulator.config.analyses.layer_sensitivity import setting_of as sensitivity_setting
from simulator.config.effects import Effect, effects_of
from tests.unit.app.jobs.submissions import (
    add_baseline,
    add_cells,
    add_description,
    body,
    codes,
    database_of,
    fault,
    put,
    submit,
)

BUDGET = {"type": "error_budget"}
COSTS = {
    Effect.PROGRAMMING: 2, Effect.DRIFT: 1, Effect.READ_NOISE: 0, Effect.INPUT_CONVERTER: 0,
    Effect.OUTPUT_CONVERTER: 1, Effect.OUTPUT_NOISE: 3,
}  # fmt: skip


def job_with(client, *analyses: dict[str, Any], **changes: Any) -> str:
    return submit(client, body(client, analyses=list(analyses), **changes))


def add_rows(
    client, job_id: str, chips: int = 2, t_inference: float = 3600.0, most: int | None = None
) -> None:
    """Store what a budget evaluates, of ten samples: each group takes its answers away, chip 1 one more."""
    with database_of(client).transaction() as session:
        job = session.get_one(Job, job_id)
        subject = Subject.read(session, job)
        [budget] = subject.spec.analyses
        assert isinstance(budget, ErrorBudget)
        for on in evaluated(budget, effects_of(subject.configs.values()))[:most]:
            setting = setting_of(on)
            for chip in range(chips):
                lost = sum(COSTS[one] for one in on) + (chip if Effect.OUTPUT_NOISE in on else 0)
                session.add(
                    AnalysisRow(
                        job_id=job_id, analysis="error_budget", setting=setting.key, variant="direct", repeat=chip,
                        t_inference=t_inference, coordinates=dict(setting.coordinates),
                        counts={"correct": 10 - lost, "total": 10, "loss_sum": 1.0}, metric=1 - lost / 10,
                    )
                )  # fmt: skip
        job.version += 1


def finished(client, *analyses: dict[str, Any]) -> str:
    job_id = job_with(client, *analyses)
    put(client, job_id, "succeeded")
    add_baseline(client, job_id)
    whole = sum(COSTS.values())
    add_cells(client, job_id, *(("direct", chip, 3600.0, 10 - whole - chip, 1.0) for chip in range(2)))
    add_rows(client, job_id)
    return job_id


def answer(client, job_id: str, **query: str):
    found = client.get(f"/v1/jobs/{job_id}/analyses/error_budget", params=query)
    assert found.status_code == 200, found.text
    return found


# --- what may be asked for -----------------------------------------------------------------------------------


def test_the_same_analysis_twice_is_refused(client):
    job = body(client, analyses=[BUDGET, {**BUDGET, "method": "shapley"}])
    assert fault(client.post("/v1/jobs", json=job), "/analyses")["code"] == "repeated_value"


def test_an_analysis_that_there_is_not_is_refused_with_those_that_there_are(client):
    found = client.post("/v1/jobs", json=body(client, analyses=[{"type": "error_budged"}]))
    assert "did you mean 'error_budget'" in fault(found, "/analyses/0")["hint"]


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"t_inference": [1, 60]}, "/analyses/0/t_inference"),
        ({"variants": ["hwa"]}, "/analyses/0/variants"),
        ({"variants": ["digital"]}, "/analyses/0/variants"),
        ({"repeats": 3}, "/analyses/0/repeats"),
    ],
)
def test_an_analysis_looks_at_what_the_job_evaluates(client, asked, pointer):
    found = client.post("/v1/jobs", json=body(client, analyses=[{**BUDGET, **asked}]))
    assert (pointer, "not_evaluated") in codes(found)


def test_an_analysis_of_a_job_without_chips_is_refused(client):
    evaluate = {"t_inference": [1], "variants": ["digital"]}
    found = client.post("/v1/jobs", json=body(client, analyses=[BUDGET], evaluate=evaluate))
    assert ("/analyses/0", "not_evaluated") in codes(found)


def test_a_dry_run_prices_analyses(client):
    job = body(client, analyses=[BUDGET])
    priced = client.post("/v1/jobs", params={"dry_run": True}, json=job).json()
    # Six groups are on by default: each alone and each left out, and mapping; on two chips at one time.
    assert (priced["cells"], priced["analysis_cells"]) == (4, 13 * 2)
    both = {**job, "analyses": [{**BUDGET, "t_inference": [1, 3600], "repeats": 1}]}
    assert client.post("/v1/jobs", params={"dry_run": True}, json=both).json()["analysis_cells"] == 13 * 2


def test_cells_of_analyses_count_against_the_limit(client, settings, make_client):
    with make_client(settings.model_copy(update={"max_cells_per_job": 20})) as small:
        found = small.post("/v1/jobs", json=body(small, analyses=[BUDGET]))
    assert codes(found) == {("/analyses", "too_many_cells")}


def test_a_finished_job_is_extended_by_an_analysis_alone(client):
    job_id = job_with(client)
    put(client, job_id, "succeeded")
    found = client.post(f"/v1/jobs/{job_id}/extend", json={"analyses": [BUDGET]})
    assert found.status_code == 202, found.text
    assert [one["type"] for one in found.json()["spec"]["analyses"]] == ["error_budget"]
    assert found.json()["extends"] == job_id


def test_an_extension_by_the_analyses_that_it_has_adds_nothing(client):
    job_id = finished(client, BUDGET)
    found = client.post(f"/v1/jobs/{job_id}/extend", json={"analyses": [BUDGET]})
    assert codes(found) == {("", "nothing_to_add")}
    other = client.post(f"/v1/jobs/{job_id}/extend", json={"analyses": [{**BUDGET, "method": "shapley"}]})
    assert [one["method"] for one in other.json()["spec"]["analyses"]] == ["shapley"]


def test_a_job_that_asks_for_the_same_takes_over_cells_and_rows(client):
    job = body(client, analyses=[BUDGET])
    first = submit(client, job)
    put(client, first, "succeeded")
    add_description(client, first)  # a job without files has been swept: only its cells are taken over
    add_baseline(client, first)
    cells = [("direct", chip, t, 3, 1.0) for chip in range(2) for t in (1.0, 3600.0)]
    add_cells(client, first, *cells)
    add_rows(client, first)
    second = submit(client, {**job, "name": "again"})
    with database_of(client).reading() as session:
        items = session.query(WorkItem).where(WorkItem.job_id == second, WorkItem.kind == "analyse").all()
        assert items
        assert all(item.state == "succeeded" for item in items)
    assert answer(client, second).json()["rows"] == answer(client, first).json()["rows"]


def test_a_job_is_deleted_with_its_analyses(client):
    job_id = finished(client, BUDGET)
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
    with database_of(client).reading() as session:
        assert session.query(AnalysisRow).where(AnalysisRow.job_id == job_id).count() == 0


# --- answers -------------------------------------------------------------------------------------------------


def test_the_list_says_how_far_each_analysis_is(client):
    job_id = job_with(client, BUDGET)
    [item] = client.get(f"/v1/jobs/{job_id}/analyses").json()["items"]
    assert (item["type"], item["state"], item["done"], item["total"]) == ("error_budget", "queued", 0, 26)
    add_rows(client, job_id, most=3)
    [item] = client.get(f"/v1/jobs/{job_id}/analyses").json()["items"]
    assert (item["state"], item["done"]) == ("running", 6)
    assert item["url"] == f"/v1/jobs/{job_id}/analyses/error_budget"


def test_an_analysis_that_was_not_asked_for_is_not_found(client):
    job_id = job_with(client)
    assert client.get(f"/v1/jobs/{job_id}/analyses").json()["items"] == []
    found = client.get(f"/v1/jobs/{job_id}/analyses/error_budget")
    assert found.status_code == 404
    assert "extend" in found.json()["detail"]


def test_each_group_costs_what_is_lost_with_it_alone_and_won_back_without_it(client):
    found = answer(client, finished(client, BUDGET)).json()
    rows = {row["group"]: row for row in found["rows"]}
    assert list(rows) == [effect.value for effect in Effect]
    assert rows["mapping"]["alone"]["mean"] == 0
    assert rows["mapping"]["without"] is None
    for effect, cost in COSTS.items():
        extra = 0.05 if effect is Effect.OUTPUT_NOISE else 0  # of chip 1, over two chips
        for name in ("alone", "without"):
            assert rows[effect.value][name]["mean"] == pytest.approx(cost / 10 + extra, abs=1e-12)
        assert rows[effect.value]["share"] is None
    assert rows["array"] | {"on": True} == rows["array"] | {"on": True, "group": "array"}
    assert (rows["array"]["on"], rows["array"]["alone"]["mean"], rows["array"]["without"]["mean"]) == (
        False,
        0,
        0,
    )
    [total] = found["totals"]
    assert (total["digital"], total["repeats"]) == (1.0, 2)
    assert total["total"]["mean"] == pytest.approx(0.75)


def test_shares_add_up_to_the_total(client):
    found = answer(client, finished(client, {**BUDGET, "method": "shapley"})).json()
    assert found["exact"] is False
    added = math.fsum(row["share"]["mean"] for row in found["rows"])
    assert added == pytest.approx(found["totals"][0]["total"]["mean"], abs=1e-12)
    assert any("8 of the 720 orders" in note for note in found["notes"])


def test_an_answer_that_rests_on_little_says_so(client):
    found = answer(client, finished(client, BUDGET)).json()
    assert any("2 chips" in note for note in found["notes"])
    assert any("near chance" in note for note in found["notes"])


def test_answers_are_there_from_the_first_rows_on(client):
    job_id = job_with(client, BUDGET)
    add_baseline(client, job_id)
    nothing = answer(client, job_id).json()
    assert nothing["complete"] is False
    assert nothing["totals"][0]["total"] is None
    assert {str(row["alone"]) for row in nothing["rows"]} == {"None"}
    add_rows(client, job_id, chips=1, most=2)
    some = {row["group"]: row for row in answer(client, job_id).json()["rows"]}
    assert some["mapping"]["alone"] == {"mean": 0.0, "ci95": None, "repeats": 1}
    assert some["programming"]["alone"]["mean"] == pytest.approx(0.2)
    assert some["drift"]["alone"] is None
    for file_format in ("csv", "parquet", "svg", "png"):
        assert answer(client, job_id, format=file_format).content


def test_tables_have_three_columns_for_an_estimate(client):
    job_id = finished(client, BUDGET)
    rows = list(csv.DictReader(io.StringIO(answer(client, job_id, format="csv").text)))
    assert len(rows) == len(Effect)
    output_noise = next(row for row in rows if row["group"] == "output_noise")
    assert float(output_noise["alone_mean"]) == pytest.approx(0.35)
    assert float(output_noise["alone_ci95_low"]) < 0.35 < float(output_noise["alone_ci95_high"])
    assert output_noise["share_mean"] == ""
    table = parquet.read_table(io.BytesIO(answer(client, job_id, format="parquet").content))
    assert table.column("alone_mean").to_pylist()[0] == 0.0
    assert table.schema.metadata[b"analysis"] == b"error_budget"


def test_pictures_are_pictures(client):
    job_id = finished(client, BUDGET)
    assert ET.fromstring(answer(client, job_id, format="svg").content).tag.endswith("svg")
    assert answer(client, job_id, format="png").content.startswith(b"\x89PNG")


def test_an_answer_that_has_not_changed_is_not_sent_again(client):
    job_id = finished(client, BUDGET)
    tag = answer(client, job_id).headers["ETag"]
    path = f"/v1/jobs/{job_id}/analyses/error_budget"
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 304
    add_cells(client, job_id, ("direct", 0, 1.0, 1, 1.0))
    with database_of(client).transaction() as session:
        session.get_one(Job, job_id).version += 1
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_overrides_of_layers_count_for_what_is_on(client):
    layers = {"overrides": [{"match": "fc2", "rpu_config": {"forward": {"ir_drop": 1.0}}}]}
    job_id = job_with(client, BUDGET, layers=layers)
    with database_of(client).reading() as session:
        items = session.query(WorkItem).where(WorkItem.job_id == job_id, WorkItem.kind == "analyse").all()
        settings = [setting["coordinates"] for item in items for setting in item.payload["settings"]]
    assert frozenset({Effect.ARRAY}) in {effects_on(one) for one in settings}


def test_a_job_of_an_older_version_has_no_analyses(client):
    job_id = job_with(client)
    with database_of(client).transaction() as session:
        job = session.get_one(Job, job_id)
        job.spec = {name: value for name, value in job.spec.items() if name != "analyses"}
    assert client.get(f"/v1/jobs/{job_id}/analyses").json()["items"] == []
    assert client.get(f"/jobs/{job_id}", headers={"Accept": "text/html"}).status_code == 200


# --- layer sensitivity ---------------------------------------------------------------------------------------


def sensitive(client, **changes: Any) -> str:
    """A job of two layers: fc1 on tiles takes four of ten answers away, fc2 one; stored as a worker would."""
    job_id = job_with(client, {"type": "layer_sensitivity", **changes})
    put(client, job_id, "succeeded")
    add_baseline(client, job_id)
    add_cells(client, job_id, *(("direct", chip, 3600.0, 5, 1.0) for chip in range(2)))
    with database_of(client).transaction() as session:
        for name, lost in (("fc1", 1), ("fc2", 4)):
            setting = sensitivity_setting([name], ["fc1", "fc2"])
            for chip in range(2):
                add_row(session, job_id, setting, chip, {"correct": 10 - lost, "total": 10})
        add_row(session, job_id, SNR, 0, {"snr_db": {"fc1": 3.5, "fc2": "inf"}})
    return job_id


def add_row(session, job_id: str, setting, chip: int, counts: dict[str, Any]) -> None:
    session.add(
        AnalysisRow(
            job_id=job_id, analysis="layer_sensitivity", setting=setting.key, variant="direct", repeat=chip,
            t_inference=3600.0, coordinates=dict(setting.coordinates), counts=counts,
        )
    )  # fmt: skip


def sensitivity(client, job_id: str, **query: str):
    return client.get(f"/v1/jobs/{job_id}/analyses/layer_sensitivity", params=query)


def test_each_layer_has_its_loss_alone_and_what_keeping_it_digital_wins(client):
    found = sensitivity(client, sensitive(client)).json()
    rows = {(row["layer"], row["mode"]): row for row in found["rows"]}
    assert rows["fc1", "one_analog"]["loss"]["mean"] == pytest.approx(0.4)
    assert rows["fc1", "one_digital"]["loss"]["mean"] == pytest.approx(0.1)
    assert rows["fc1", "one_digital"]["won_back"]["mean"] == pytest.approx(0.4)
    assert rows["fc2", "one_analog"]["loss"]["mean"] == pytest.approx(0.1)
    assert rows["fc1", "one_analog"]["won_back"] is None
    assert (rows["fc1", "one_analog"]["snr_db"], rows["fc2", "one_analog"]["snr_db"]) == (3.5, None)
    shares = [row["devices_share"] for row in found["rows"] if row["mode"] == "one_analog"]
    assert shares == pytest.approx([20 / 35, 15 / 35])


def test_the_suggestion_is_the_field_layers_of_a_job(client):
    found = sensitivity(client, sensitive(client, target_drop=0.15)).json()["suggestion"]["direct"]
    assert (found["layers"], found["added"], found["verified"]) == ({"digital": ["fc1"]}, ["fc1"], True)
    assert found["loss"]["mean"] == pytest.approx(0.1)
    sent = client.post("/v1/jobs", json=body(client, layers=found["layers"]))
    assert sent.status_code == 202, sent.text


def test_where_only_all_layers_digital_would_do_there_is_no_suggestion_to_send(client):
    found = sensitivity(client, sensitive(client, target_drop=0.01)).json()
    assert found["suggestion"]["direct"]["layers"] is None
    assert any("No set of layers" in note for note in found["notes"])


@pytest.mark.parametrize("file_format", ["csv", "parquet", "svg", "png"])
def test_a_sensitivity_comes_in_every_form(client, file_format):
    assert sensitivity(client, sensitive(client), format=file_format).content


def test_the_page_and_the_report_say_which_layers_to_keep_digital(client):
    job_id = sensitive(client, target_drop=0.15)
    page = client.get(f"/jobs/{job_id}", headers={"Accept": "text/html"}).text
    assert "Keep 1 layer of direct digital" in page
    assert "Won back with it digital" in client.get(f"/v1/jobs/{job_id}/report").text


# --- advice --------------------------------------------------------------------------------------------------

COLUMNWISE = {
    "layer": None, "field": "mapping.weight_scaling_columnwise", "from": False, "to": True, "metric_change": 0.3,
    "snr_gain_db": 12.0,
}  # fmt: skip
BOUND = {
    "layer": "fc1", "field": "forward.out_bound", "from": 12.0, "to": 3.0, "metric_change": None, "snr_gain_db": 0.8,
}  # fmt: skip
SEEN = {
    "samples": 12, "base": {"metric": 0.4, "snr_db": -3.0},
    "together": {"metric": 0.8, "snr_db": 10.0, "metric_change": 0.4, "snr_gain_db": 13.0},
    "converters": [{
        "layer": "fc1", "converter": "adc", "bound": 12.0, "snr_db": 9.0, "best_bound": 3.0,
        "by_bound": [[3.0, 9.8], [12.0, 9.0]], "unquantised_db": 10.0, "by_bits": [[6, 8.5], [7, 9.5]],
        "fewest_bits": 7, "clipped": 0.01, "histogram": {"limit": 1.5, "bins": 2, "counts": [3, 4]},
    }],
}  # fmt: skip


def advised(client, *changes: dict[str, Any], verify: bool = False, **more: Any) -> str:
    """A job that was advised some changes, as a worker would store them."""
    job_id = job_with(client, {"type": "advice", "verify": verify}, **more)
    put(client, job_id, "succeeded")
    add_baseline(client, job_id)
    add_cells(client, job_id, *(("direct", chip, 3600.0, 5, 1.0) for chip in range(2)))
    with database_of(client).transaction() as session:
        add_advice(session, job_id, OBSERVED, 0, {**SEEN, "changes": list(changes)})
        if verify:
            for chip in range(2):
                counts = {"correct": 8 + chip, "total": 10}
                add_advice(session, job_id, advice_setting([COLUMNWISE]), chip, counts)
                add_advice(session, job_id, advice_setting(changes), chip, {"correct": 9, "total": 10})
    return job_id


def add_advice(session, job_id: str, setting, chip: int, counts: dict[str, Any]) -> None:
    row = AnalysisRow(
        job_id=job_id, analysis="advice", setting=setting.key, variant="direct", repeat=chip, t_inference=3600.0,
        coordinates=dict(setting.coordinates), counts=counts,
    )  # fmt: skip
    session.merge(row)


def advice(client, job_id: str, **query: str):
    return client.get(f"/v1/jobs/{job_id}/analyses/advice", params=query)


def test_advice_can_be_sent_back_as_it_is(client):
    preset = {"preset": "PCMExamplePreset", "overrides": {"mapping": {"weight_scaling_omega": 0.7}}}
    layers = {"overrides": [{"match": "fc*", "rpu_config": {"forward": {"out_noise": 0.1}}}]}
    found = advice(client, advised(client, COLUMNWISE, BOUND, rpu_config=preset, layers=layers)).json()
    suggestion = found["suggestion"]
    assert suggestion["rpu_config"] == {
        "preset": "PCMExamplePreset",
        "overrides": {"mapping": {"weight_scaling_omega": 0.7, "weight_scaling_columnwise": True}},
    }
    assert suggestion["layers"]["overrides"][1:] == [
        {"match": "fc1", "rpu_config": {"forward": {"out_bound": 3.0}}}
    ]
    sent = client.post("/v1/jobs", json=body(client, **suggestion))
    assert sent.status_code == 202, sent.text
    assert sent.json()["effective_config"]["mapping"]["weight_scaling_columnwise"] is True


def test_every_piece_of_advice_has_the_gain_that_it_expects(client):
    found = advice(client, advised(client, COLUMNWISE, BOUND)).json()
    first, second = found["rows"]
    assert (first["layer"], first["from"], first["to"]) == (None, False, True)
    assert (first["expected_gain"], first["expected_gain_db"], first["verified_gain"]) == (0.3, 12.0, None)
    assert (second["layer"], second["expected_gain"], second["expected_gain_db"]) == ("fc1", None, 0.8)
    assert found["together"]["direct"]["expected_gain"] == 0.4
    assert any('"verify": true' in note for note in found["notes"])
    assert found["converters"][0]["fewest_bits"] == 7


def test_what_was_verified_is_won_on_the_test_set_chip_by_chip(client):
    found = advice(client, advised(client, COLUMNWISE, BOUND, verify=True)).json()
    assert found["rows"][0]["verified_gain"]["mean"] == pytest.approx(0.35)
    assert found["rows"][0]["verified_gain"]["repeats"] == 2
    assert found["rows"][1]["verified_gain"] is None
    assert found["together"]["direct"]["verified_gain"]["mean"] == pytest.approx(0.4)


def test_where_nothing_is_worth_it_there_is_no_suggestion(client):
    found = advice(client, advised(client)).json()
    assert (found["rows"], found["suggestion"]) == ([], None)
    assert any("no change that was tried" in note for note in found["notes"])


@pytest.mark.parametrize("file_format", ["csv", "parquet", "svg", "png"])
@pytest.mark.parametrize("changes", [(COLUMNWISE, BOUND), ()], ids=["changes", "nothing"])
def test_advice_comes_in_every_form(client, file_format, changes):
    assert advice(client, advised(client, *changes), format=file_format).content


def test_the_page_and_the_report_show_the_advice(client):
    job_id = advised(client, COLUMNWISE, BOUND, verify=True)
    page = client.get(f"/jobs/{job_id}", headers={"Accept": "text/html"}).text
    for words in ("weight_scaling_columnwise", "fields of a job with all of it", "on the test set, 2 chips"):
        assert words in page
    assert "weight_scaling_columnwise" in client.get(f"/v1/jobs/{job_id}/report").text


def test_advice_that_has_not_been_found_yet_is_shown_as_such(client):
    job_id = job_with(client, {"type": "advice"})
    assert advice(client, job_id).json()["rows"] == []
    page = client.get(f"/jobs/{job_id}", headers={"Accept": "text/html"}).text
    assert "The advice appears when" in page
