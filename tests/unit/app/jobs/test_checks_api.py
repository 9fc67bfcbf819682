"""`POST /v1/jobs`: what is refused, and with which words."""

import pytest

from app.db.tables import Model
from tests.unit.app.jobs.submissions import RAW, add_model, body, codes, database_of, fault, put, submit
from tests.unit.app.networks import dataset_arrays, npz


@pytest.fixture
def job(client):
    return body(client)


def post(client, job, **changes):
    return client.post("/v1/jobs", json={**job, **changes})


def evaluate(job, **changes):
    return {"evaluate": {**job["evaluate"], **changes}}


def test_a_job_is_accepted_with_its_address(client, job):
    answer = post(client, job, name="n", tags=["b", "a", "b"])
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    assert answer.headers["retry-after"] == "2"
    assert (answer.json()["state"], answer.json()["tags"]) == ("queued", ["b", "a"])


def test_a_model_that_is_unknown(client, job):
    found = fault(post(client, job, model="nothing"), "/model")
    assert (found["code"], "POST /v1/models" in found["hint"]) == ("unknown_model", True)


def test_a_model_whose_import_was_found_to_differ(client, job):
    with database_of(client).transaction() as session:
        session.get_one(Model, job["model"]).verification_state = "failed"
    assert codes(post(client, job)) == {("/model", "import_mismatch")}


def test_a_dataset_that_is_unknown(client, job):
    found = fault(post(client, job, dataset="builtin:mnist"), "/dataset")
    assert (found["code"], "builtin:mnist10k" in found["hint"]) == ("unknown_dataset", True)


def test_a_dataset_of_another_shape(client, job):
    assert codes(post(client, job, dataset="builtin:digits")) == {("/dataset", "dataset_mismatch")}


def test_more_cells_than_a_job_may_have(client, job):
    answer = post(client, job, **evaluate(job, repeats=10_000, t_inference=list(range(1000))))
    found = fault(answer, "/evaluate")
    assert (found["code"], "fewer repeats" in found["hint"]) == ("too_many_cells", True)


@pytest.mark.parametrize("variant", ["hwa", "control"])
def test_a_trained_variant_without_fine_tuning(client, job, variant):
    found = fault(post(client, job, **evaluate(job, variants=[variant])), "/finetune")
    assert (found["code"], '"epochs"' in found["hint"]) == ("missing", True)


def test_fine_tuning_that_no_variant_needs_is_warned_of(client, job):
    answer = post(client, job, finetune={"epochs": 1})
    assert {"pointer": "/finetune", "code": "no_effect"}.items() <= answer.json()["warnings"][0].items()


@pytest.mark.parametrize(
    "finetune", [{"validation_fraction": 1e-6}, {"validation_fraction": 0.4, "max_samples": 1}]
)
def test_a_share_that_leaves_nothing_to_validate_on(client, job, finetune):
    answer = post(client, job, finetune={"epochs": 1, **finetune}, **evaluate(job, variants=["hwa"]))
    found = fault(answer, "/finetune/validation_fraction")
    assert (found["code"], "both need at least one" in found["message"]) == ("empty_split", True)


@pytest.mark.parametrize(
    ("preset", "codes_there"), [("PCMExamplePreset", ["no_effect"]), ("StandardHWATrainingPreset", [])]
)
def test_a_calibration_of_no_input_range_is_warned_of(client, job, preset, codes_there):
    answer = post(client, job, calibration={"batches": 3}, rpu_config={"preset": preset})
    found = [one["code"] for one in answer.json()["warnings"] if one["pointer"] == "/calibration"]
    assert found == codes_there


def test_a_pattern_that_matches_nothing(client, job):
    layers = {"digital": ["fc3"], "overrides": [{"match": "conv*", "rpu_config": {}}]}
    assert codes(post(client, job, layers=layers)) == {
        ("/layers/digital/0", "pattern_matches_nothing"),
        ("/layers/overrides/0/match", "pattern_matches_nothing"),
    }


def test_a_network_without_a_layer_that_is_analog(client, job):
    assert codes(post(client, job, layers={"digital": ["*"]})) == {("/layers/digital", "no_analog_layer")}
    assert ("/model", "no_analog_layer") in codes(post(client, job, model=add_model(client, [])))


def test_an_override_that_is_no_configuration_is_told_once_where_it_stands(client, job):
    bad = {"match": "fc1", "rpu_config": {"forward": {"out_noize": 1}}}
    answer = post(client, job, layers={"overrides": [{"match": "*", "rpu_config": {}}, bad]})
    assert codes(answer) == {("/layers/overrides/1/rpu_config/forward/out_noize", "unknown_field")}


def test_a_stored_configuration_that_is_unknown(client, job):
    answer = post(client, job, rpu_config={"stored": "0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10"})
    assert codes(answer) == {("/rpu_config/stored", "unknown_configuration")}


def test_the_loss_of_a_regression_is_the_squared_error(client, job):
    arrays = dataset_arrays()
    for part in ("train", "test"):
        arrays[f"y_{part}"] = arrays[f"x_{part}"][:, :3]
    dataset = client.post("/v1/datasets", content=npz(**arrays), headers=RAW).json()["id"]
    finetune = {"epochs": 1, "loss": "cross_entropy"}
    options = {**evaluate(job, variants=["hwa"]), "dataset": dataset}
    assert codes(post(client, job, finetune=finetune, **options)) == {("/finetune/loss", "invalid_value")}
    accepted = post(client, job, finetune={"epochs": 1}, **options)
    assert accepted.json()["spec"]["finetune"]["loss"] == "mse"
    smooth = post(client, job, finetune={"epochs": 1, "label_smoothing": 0.1}, **options)
    assert codes(smooth) == {("/finetune/label_smoothing", "ignored_argument")}


def test_every_fault_is_told_at_once(client, job):
    answer = post(
        client,
        job,
        model="x",
        dataset="builtin:y",
        **evaluate(job, variants=["hwa"], repeats=10_000, t_inference=list(range(1000))),
    )
    assert codes(answer) == {
        ("/model", "unknown_model"), ("/dataset", "unknown_dataset"),
        ("/evaluate", "too_many_cells"), ("/finetune", "missing"),
    }  # fmt: skip


def test_a_queued_job_is_cancelled_at_once_and_only_once(client, job):
    job_id = submit(client, job)
    assert client.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "cancelled"
    again = client.post(f"/v1/jobs/{job_id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "job_ended")


def test_a_job_that_is_being_cancelled_is_not_cancelled_again(client, job):
    job_id = submit(client, job)
    put(client, job_id, "cancelling")
    again = client.post(f"/v1/jobs/{job_id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "already_cancelling")


def test_a_job_is_deleted_once_it_has_ended(client, job):
    job_id = submit(client, job)
    early = client.delete(f"/v1/jobs/{job_id}")
    assert (early.status_code, early.json()["code"]) == (409, "job_not_ended")
    client.post(f"/v1/jobs/{job_id}/cancel")
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
    for path in ("", "/results", "/history", "/artifacts", "/events"):
        assert client.get(f"/v1/jobs/{job_id}{path}").status_code == 404


def test_warnings_of_an_override_stand_where_it_does(client, job):
    answer = post(
        client, job, layers={"overrides": [{"match": "*", "rpu_config": {"forward": {"inp_res": 8}}}]}
    )
    found = {(one["pointer"], one["code"]) for one in answer.json()["warnings"]}
    assert ("/layers/overrides/0/rpu_config/forward/inp_res", "implausible_value") in found
    assert ("/rpu_config/forward/inp_res", "implausible_value") not in found


TRAINED = {"t_inference": [1], "repeats": 2, "variants": ["digital", "hwa"]}


def trained(client, job, overrides, **changes):
    finetune = {"epochs": 2, "rpu_config": overrides}
    return post(client, {**job, "evaluate": TRAINED}, finetune=finetune, **changes)


def test_training_on_another_mapping_than_the_evaluation(client, job):
    answer = trained(
        client, job, {"mapping": {"max_input_size": 7}, "pre_post": {"input_range": {"enable": True}}}
    )
    assert answer.status_code == 422
    assert codes(answer) == {
        ("/finetune/rpu_config/mapping/max_input_size", "differs_from_evaluation"),
        ("/finetune/rpu_config/pre_post/input_range/enable", "differs_from_evaluation"),
    }
    layers = {"overrides": [{"match": "*", "rpu_config": {"mapping": {"max_input_size": 7}}}]}
    forward = {"forward": {"out_noise": 0.0}}
    assert trained(client, job, forward, layers=layers).status_code == 202, "layers are changed for both"


def test_what_training_overrides_wrongly_is_located_in_the_overrides(client, job):
    answer = trained(client, job, {"forward": {"out_noise": -1, "noise": 1}})
    assert {pointer for pointer, _ in codes(answer)} == {
        "/finetune/rpu_config/forward/out_noise",
        "/finetune/rpu_config/forward/noise",
    }


def test_training_is_judged_by_its_own_configuration(client, job):
    def warned(answer):
        return {(one["pointer"], one["code"]) for one in answer.json()["warnings"]}

    missing = ("/finetune/rpu_config/modifier/type", "hwa_without_weight_noise")
    noise = {"modifier": {"type": "AddNormal", "std_dev": 0.1}}
    assert missing in warned(trained(client, job, {"forward": {"out_noise": 0.0}}))
    own = warned(trained(client, job, noise))
    assert "hwa_without_weight_noise" not in {code for _, code in own}
    without_effect = warned(trained(client, job, {**noise, "drift_compensation": None}))
    assert ("/finetune/rpu_config/drift_compensation", "no_effect") in without_effect
    digital = {"epochs": 2, "rpu_config": noise}
    answer = post(client, {**job, "evaluate": {**TRAINED, "variants": ["control"]}}, finetune=digital)
    assert ("/finetune/rpu_config", "no_effect") in warned(answer)
