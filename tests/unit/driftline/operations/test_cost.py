"""What an inference costs, asked for with the client."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline import Driftline
from driftline.errors import Conflict, InvalidRequest

MODEL = Path(__file__).parents[4] / "examples" / "mnist_cnn.onnx"


@pytest.fixture
def model(driftline: Driftline):
    return driftline.upload_model(MODEL)


@pytest.fixture
def spec(model):
    return {
        "model": model, "dataset": "builtin:mnist10k", "rpu_config": {"preset": "PCMExamplePreset"},
        "evaluate": {"t_inference": [1], "repeats": 2},
    }  # fmt: skip


def test_profiles_are_listed_and_checked(driftline):
    names = [one.name for one in driftline.hardware_profiles()]
    assert "HERMES14nm" in names
    assert driftline.validate_hardware("ISAAC32nm").effective["array"]["rows"] == 128
    with pytest.raises(InvalidRequest, match="unknown"):
        driftline.validate_hardware("ISAAC")


def test_the_cost_of_a_model(driftline, model):
    cost = driftline.cost(model, "HERMES14nm", rpu_config={"preset": "PCMExamplePreset"})
    assert cost.profile == "HERMES14nm"
    assert "an inference, by HERMES14nm" in str(cost)
    frame = cost.to_pandas()
    assert frame["energy_j"].sum() == pytest.approx(cost.energy_j["nominal"])
    assert cost.plot(title="digits").axes


def test_the_cost_of_a_model_with_a_dataset_that_says_sizes(driftline, model, spec):
    alone = driftline.cost(model, "HERMES14nm")
    assert driftline.cost(model, "HERMES14nm", dataset=spec["dataset"]) == alone, (
        "its file leaves nothing open"
    )
    with pytest.raises(InvalidRequest, match="dataset"):
        driftline.cost(model, "HERMES14nm", dataset="builtin:digits")


def test_the_cost_of_a_job_by_its_own_hardware_or_another(driftline, spec):
    job = driftline.submit({**spec, "hardware": {"profile": "HERMES14nm"}})
    assert job.cost().profile == "HERMES14nm"
    assert job.cost(profile="NeuRRAM130nm").profile == "NeuRRAM130nm"
    assert job.cost_as("csv").startswith(b"layer,op,kind,component,group,")
    assert driftline.dry_run({**spec, "hardware": {"profile": "ISAAC32nm"}}).cost["profile"] == "ISAAC32nm"


def test_a_job_without_hardware_says_so(driftline, spec):
    with pytest.raises(Conflict, match="names no hardware"):
        driftline.submit(spec).cost()


def test_jobs_of_a_tag(driftline, spec):
    driftline.submit({**spec, "tags": ["t"], "hardware": {"profile": "HERMES14nm"}})
    costs = driftline.costs("t")
    assert (costs.left_out, costs["items"]) == (1, [])  # it has no result yet
    assert len(costs.to_pandas()) == 0
    assert costs.plot().axes
