"""Analyses on real services: the same cells beside them, the same rows after a kill, taken over by others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from driftline import Driftline
from tests.outliers import encoder
from tests.waiting import until

from .conftest import MODEL, StartService, kill, runners_of

BUDGET = {"type": "error_budget", "method": "shapley", "permutations": 2, "repeats": 3}


def asked(model: str, *analyses: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A job of a few seconds without training."""
    evaluate = {
        "t_inference": [1, 86400], "repeats": 4, "batch_size": 100, "max_samples": 100,
        "variants": ["digital", "direct"],
    }  # fmt: skip
    overrides = {"forward": {"w_noise": 0.1, "out_noise": 0.1}}
    rpu_config = {"preset": "PCMExamplePreset", "overrides": overrides}
    job = {
        "model": model, "dataset": "builtin:mnist10k", "rpu_config": rpu_config, "evaluate": evaluate, "seed": 7,
        "analyses": list(analyses),
    }  # fmt: skip
    return {**job, **changes}


def done(driftline: Driftline, job: Any) -> Any:
    job = driftline.wait(job["id"])
    assert job["state"] == "succeeded", job["failure"]
    return job


def cells(driftline: Driftline, job: Any) -> list[dict[str, Any]]:
    return sorted(driftline.results(job["id"], cells=True)["cells"], key=str)


def count(driftline: Driftline, job: Any) -> int:
    return int(driftline.analyses(job["id"])[0]["done"])


def rows(driftline: Driftline, job: Any, analysis: str) -> Any:
    found = driftline.analysis(job["id"], analysis).to_dict()
    assert found["complete"]
    return {**found, "job": None}


def test_a_job_has_the_same_cells_with_analyses_and_the_same_rows_after_a_kill(
    start_service: StartService,
) -> None:
    with start_service() as (service, driftline):
        model = driftline.upload_model(MODEL)["id"]
        plain = done(driftline, driftline.submit(asked(model)))
        longer = done(driftline, driftline.extend(plain["id"], analyses=[BUDGET]))
        begun = [
            event["data"]["item"]
            for event in driftline.events(longer["id"], follow=False)
            if event["type"] == "item.started"
        ]
        assert begun
        assert all(item.startswith("analyse:error_budget:direct:") for item in begun)
        assert cells(driftline, longer) == cells(driftline, plain)
        expected = rows(driftline, longer, "error_budget")

        worker = service.process_id("worker 0")
        killed = driftline.submit(asked(model, BUDGET, name="killed"), fresh=True)
        for rows_before in (3, 8, 13):  # a runner that is between two items loses nothing by a kill
            until(lambda n=rows_before: count(driftline, killed) >= n, "some rows")
            kill(until(lambda: runners_of(worker), "a runner")[0])
            until(lambda n=rows_before: count(driftline, killed) > n + 1, "more rows")
            if driftline.job(killed["id"])["attempt"] == 2:
                break
        killed = done(driftline, killed)
        assert killed["attempt"] == 2, "no kill hit an item"
        assert cells(driftline, killed) == cells(driftline, plain)
        assert rows(driftline, killed, "error_budget") == expected

        again = driftline.submit(asked(model, BUDGET, name="again"))
        assert again["state"] == "succeeded"
        assert rows(driftline, again, "error_budget") == expected


def test_shares_of_a_real_network_add_up_to_what_it_loses(start_service: StartService) -> None:
    with start_service() as (_, driftline):
        model = driftline.upload_model(MODEL)["id"]
        found = rows(driftline, done(driftline, driftline.submit(asked(model, BUDGET))), "error_budget")
    [total] = found["totals"]
    added = sum(row["share"]["mean"] for row in found["rows"])
    assert abs(added - total["total"]["mean"]) < 1e-12
    assert total["total"]["mean"] > 0.02
    assert total["t_inference"] == 86400


def test_a_layer_that_is_kept_digital_gives_the_cells_of_a_job_that_keeps_it_so(
    start_service: StartService,
) -> None:
    sensitivity = {"type": "layer_sensitivity", "repeats": 2, "target_drop": 0.002}
    # With input ranges, which are calibrated on the network as it is then.
    ranged = {
        "preset": "PCMExamplePreset",
        "overrides": {"forward": {"out_noise": 0.2}, "pre_post": {"input_range": {"enable": True}}},
    }
    calibration = {"method": "MovingStd", "batches": 2}
    with start_service(worker_concurrency=2) as (_, driftline):
        model = driftline.upload_model(MODEL)["id"]
        job = asked(model, sensitivity, rpu_config=ranged, calibration=calibration)
        job = done(driftline, driftline.submit(job))
        found = rows(driftline, job, "layer_sensitivity")
        digital = driftline.results(job["id"])["baseline"]["digital"]["accuracy"]
        layers = list(dict.fromkeys(row["layer"] for row in found["rows"]))
        assert layers == ["conv1", "conv2", "fc1", "fc2"]
        for row in found["rows"]:
            if row["layer"] not in ("conv1", "fc2"):
                continue
            others = [name for name in layers if name != row["layer"]]
            kept = [row["layer"]] if row["mode"] == "one_digital" else others
            changes = {"rpu_config": ranged, "calibration": calibration, "layers": {"digital": kept}}
            single = done(driftline, driftline.submit(asked(model, **changes)))
            accuracies = [
                cell["correct"] / cell["total"]
                for cell in driftline.results(single["id"], cells=True)["cells"]
                if cell["t_inference"] == 86400 and cell["repeat"] < 2
            ]
            losses = [digital - one for one in accuracies]
            assert row["loss"]["mean"] == sum(losses) / 2, row
        suggestion = found["suggestion"]["direct"]
        assert suggestion["verified"]
        assert suggestion["loss"]["mean"] <= 0.002
        changes = {"rpu_config": ranged, "calibration": calibration, "layers": suggestion["layers"]}
        sent = done(driftline, driftline.submit(asked(model, **changes)))
        last = driftline.results(sent["id"], cells=True)["cells"]
        accuracies = [
            one["correct"] / one["total"] for one in last if one["t_inference"] == 86400 and one["repeat"] < 2
        ]
        assert sum(digital - one for one in accuracies) / 2 == suggestion["loss"]["mean"]


def test_one_request_finds_why_an_encoder_with_outlier_columns_fails_and_what_helps(
    start_service: StartService, tmp_path: Path
) -> None:
    path = tmp_path / "encoder.onnx"
    path.write_bytes(encoder())
    with start_service(worker_concurrency=2) as (_, driftline):
        evaluate = {"t_inference": [1, 86400], "repeats": 3, "variants": ["digital", "direct"]}
        analyses = [{"type": "error_budget"}, {"type": "advice", "batches": 3, "verify": True}]
        job = asked(
            driftline.upload_model(path)["id"], *analyses, dataset="builtin:digits", evaluate=evaluate,
            rpu_config={"preset": "PCMExamplePreset"},
        )  # fmt: skip
        ended = done(driftline, driftline.submit(job))
        accuracy = {
            point["t_inference"]: point["mean"]
            for point in driftline.results(ended["id"])["series"][0]["points"]
        }
        assert driftline.results(ended["id"])["baseline"]["digital"]["accuracy"] > 0.95
        assert accuracy[1] < 0.2
        [warning] = [one for one in ended["warnings"] if one["code"] == "near_chance"]
        assert "advice" in warning["message"]

        budget = rows(driftline, ended, "error_budget")
        alone = {row["group"]: row["alone"]["mean"] for row in budget["rows"]}
        assert alone["mapping"] < 0.01
        assert alone["input_converter"] < 0.05
        assert min(alone[group] for group in ("programming", "output_noise", "output_converter")) > 0.5

        advice = rows(driftline, ended, "advice")
        first = advice["rows"][0]
        assert (first["field"], first["to"]) == ("mapping.weight_scaling_columnwise", True)
        assert first["expected_gain"] > 0.6
        assert first["verified_gain"]["ci95"][0] > 0.5
        together = advice["together"]["direct"]["verified_gain"]["mean"]

        sent = done(driftline, driftline.submit({**job, **advice["suggestion"], "analyses": []}))
        after = driftline.results(sent["id"])["series"][0]["points"][-1]["mean"]
        assert after - accuracy[86400] == pytest.approx(together, abs=1e-12)
