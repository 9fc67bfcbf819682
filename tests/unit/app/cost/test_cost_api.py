"""Costs over HTTP: of models, of jobs, and of dry runs."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest

from app.db.tables import Artifact
from tests.unit.app.jobs.submissions import add_model, body, codes, database_of, submit

HERMES = {"profile": "HERMES14nm"}
CONVERSION = {
    "layers": [
        {
            "name": name,
            "dac": {"limit": 2.0, "bins": 4, "counts": [0, 1, 3, 0]},
            "weights": {"limit": 1.0, "bins": 4, "programmed": [1, 0, 0, 1]},
        }
        for name in ("fc1", "fc2")
    ]
}


def ask(client, **changes):
    model = body(client)["model"]
    return client.post("/v1/cost", json={"model": model, "hardware": HERMES, **changes})


def describe(client, job_id: str) -> None:
    """Store what a job finds about its layers, as a worker would."""
    content = json.dumps(CONVERSION).encode()
    services = client.app.state.services
    key = f"jobs/{job_id}/conversion.json"
    path = services.blobs.path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with database_of(client).transaction() as session:
        session.add(
            Artifact(
                job_id=job_id,
                name="conversion.json",
                media_type="application/json",
                size_bytes=len(content),
                sha256="0" * 64,
                blob_key=key,
            )
        )


def test_a_models_cost_is_answered_from_shapes_alone(client):
    answer = ask(client)
    assert answer.status_code == 200, answer.text
    cost = answer.json()
    # Two layers, a product each, on a tile each.
    assert cost["tile_operations"] == cost["tiles"] == 2
    assert cost["components"]["tile"]["nominal"] == pytest.approx(2 * 13.4e-9)
    assert cost["macs"] == 5 * 4 + 3 * 5
    assert [layer["name"] for layer in cost["layers"]] == ["fc1", "fc2", "Relu"]
    assert cost["layers"][2]["nodes"] == 2
    assert cost["job"] is None


def test_sums_over_layers_and_components_agree_in_the_answer(client):
    cost = ask(client, hardware={"profile": "ISAAC32nm"}).json()
    for end in ("low", "nominal", "high"):
        total = cost["energy_j"][end]
        by_layer = math.fsum(layer["energy_j"][end] for layer in cost["layers"])
        by_component = math.fsum(band[end] for band in cost["components"].values())
        assert by_layer == pytest.approx(total, rel=1e-12)
        assert by_component == pytest.approx(total, rel=1e-12)


def test_layers_that_are_kept_digital_have_no_tiles(client):
    cost = ask(client, layers={"digital": ["fc1"]}).json()
    assert {layer["name"]: layer["kind"] for layer in cost["layers"]}["fc1"] == "digital"
    assert cost["tiles"] == 1


def test_every_fault_of_a_request_is_told_where_it_stands(client):
    answer = client.post(
        "/v1/cost",
        json={
            "model": "m",
            "hardware": {"profile": "HERMES14nm", "overrides": {"node_nm": -1}},
            "rpu_config": {"forward": {"out_noize": 1}},
        },
    )
    assert codes(answer) == {
        ("/hardware/overrides/node_nm", "greater_than"),
        ("/rpu_config/forward/out_noize", "unknown_field"),
    }
    answer = client.post("/v1/cost", json={"model": "m", "hardware": HERMES, "layers": {"digital": ["x"]}})
    assert codes(answer) == {("/model", "unknown_model")}
    answer = ask(client, layers={"digital": ["nothing"]})
    assert codes(answer) == {("/layers/digital/0", "pattern_matches_nothing")}


def test_hardware_that_is_only_a_name_is_told_how_to_write_it(client):
    answer = ask(client, hardware="HERMES")
    (fault,) = answer.json()["errors"]
    assert fault["pointer"] == "/hardware"
    assert fault["hint"] == 'write {"profile": "HERMES14nm"}'


def test_bits_without_a_price_are_refused_with_what_to_do(client):
    overrides = {"energy": {"adc": {"price": {"table": {"outside": "refuse"}}}}}
    config = {"forward": {"out_res": 1 / 2**14}}
    answer = ask(client, hardware={"profile": "ISAAC32nm", "overrides": overrides}, rpu_config=config)
    assert codes(answer) == {("/hardware", "bits_not_priced")}
    assert "extrapolate" in answer.json()["errors"][0]["hint"]


def test_tiles_that_do_not_fit_bring_a_warning_with_the_override(client):
    layers = [{"name": "fc", "op": "Linear", "kind": "analog", "weight_shape": [300, 300], "positions": 1}]
    answer = client.post("/v1/cost", json={"model": add_model(client, layers), "hardware": HERMES})
    (warning,) = answer.json()["warnings"]
    assert warning["code"] == "tiles_differ_from_hardware"
    assert '"max_input_size": 256' in warning["message"]


def test_profiles_are_listed_with_their_sources_and_what_they_do_at_best(client):
    items = {one["name"]: one for one in client.get("/v1/hardware-profiles").json()["items"]}
    assert set(items) == {"Generic28nm", "HERMES14nm", "HERMES14nmFourPhases", "ISAAC32nm", "NeuRRAM130nm"}
    assert items["HERMES14nm"]["peak"]["tops"]["nominal"] == pytest.approx(63.1, rel=0.005)
    assert any("Le Gallo" in source for source in items["HERMES14nm"]["sources"])
    checked = client.post("/v1/hardware-profiles/validate", json=items["ISAAC32nm"]["effective"])
    assert checked.json()["effective"] == items["ISAAC32nm"]["effective"]


def test_the_schema_of_a_profile_is_served(client):
    schema = client.get("/v1/hardware-profiles/schema").json()
    assert "energy" in schema["properties"]


def test_a_faulty_profile_is_refused_with_pointers(client):
    profile = client.get("/v1/hardware-profiles").json()["items"][1]["effective"]
    price = profile["energy"]["tile"]["price"]
    price |= {"unit": "nj", "value": -1}
    del price["source"]
    answer = client.post("/v1/hardware-profiles/validate", json=profile)
    where = "/energy/tile/price"
    assert codes(answer) == {
        (f"{where}/unit", "unknown_unit"),
        (f"{where}/value", "greater_than_equal"),
        (f"{where}/source", "missing"),
    }
    unit = next(one for one in answer.json()["errors"] if one["pointer"].endswith("unit"))
    assert "'nJ'" in unit["hint"]


def test_a_job_keeps_its_hardware_and_answers_its_cost(client):
    job_id = submit(client, body(client, hardware=HERMES))
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert job["spec"]["hardware"] == HERMES
    assert job["links"]["cost"] == f"/v1/jobs/{job_id}/cost"
    cost = client.get(f"/v1/jobs/{job_id}/cost").json()
    assert (cost["job"], cost["profile"]) == (job_id, "HERMES14nm")


def test_hardware_is_not_part_of_the_key_of_reuse_and_changes_no_number(client):
    request = body(client)
    with_hardware = client.post("/v1/jobs?dry_run=true", json={**request, "hardware": HERMES}).json()
    without = client.post("/v1/jobs?dry_run=true", json=request).json()
    assert without["cost"] is None
    assert with_hardware["cost"]["profile"] == "HERMES14nm"
    assert {**with_hardware, "cost": None} == without
    assert "hardware" not in client.get(f"/v1/jobs/{submit(client, request)}").json()["spec"]


def test_a_job_with_faulty_hardware_is_refused(client):
    price = {"price": {"unit": "watt"}}
    hardware = {"profile": "ISAAC32nm", "overrides": {"energy": {"adc": price}}}
    answer = client.post("/v1/jobs", json=body(client, hardware=hardware))
    assert ("/hardware/overrides/energy/adc/price/unit", "unknown_unit") in codes(answer)


def test_a_job_warns_of_tiles_that_do_not_fit(client):
    overrides = {"array": {"rows": 2, "columns": 2}}
    job_id = submit(client, body(client, hardware={"profile": "HERMES14nm", "overrides": overrides}))
    warnings = client.get(f"/v1/jobs/{job_id}").json()["warnings"]
    assert "tiles_differ_from_hardware" in {one["code"] for one in warnings}


def test_a_job_without_hardware_says_what_to_ask_for(client):
    job_id = submit(client, body(client))
    answer = client.get(f"/v1/jobs/{job_id}/cost")
    assert answer.status_code == 409
    assert answer.json()["code"] == "no_hardware"
    assert "HERMES14nm" in answer.json()["detail"]
    asked = client.get(f"/v1/jobs/{job_id}/cost", params={"profile": "NeuRRAM130nm"})
    assert asked.json()["profile"] == "NeuRRAM130nm"
    unknown = client.get(f"/v1/jobs/{job_id}/cost", params={"profile": "none"})
    assert codes(unknown) == {("/query/profile", "unknown_profile")}


def test_a_retried_or_extended_job_keeps_its_hardware(client):
    from tests.unit.app.jobs.submissions import put

    job_id = submit(client, body(client, hardware=HERMES))
    put(client, job_id, "succeeded")
    extended = client.post(f"/v1/jobs/{job_id}/extend", json={"repeats": 3}).json()
    assert extended["spec"]["hardware"] == HERMES


def test_what_a_job_measured_takes_the_place_of_the_profiles_activity(client):
    job_id = submit(client, body(client, hardware={"profile": "Generic28nm"}))
    before = client.get(f"/v1/jobs/{job_id}/cost").json()
    describe(client, job_id)
    after = client.get(f"/v1/jobs/{job_id}/cost").json()
    # Mean |x| is 0.5 where the profile has 0.25; mean |w| of 0.75 is 9.375 uS a device where it has 5 uS.
    ratio = after["components"]["cells"]["nominal"] / before["components"]["cells"]["nominal"]
    assert ratio == pytest.approx(2 * 9.375 / 5)
    assert any("job's own" in one for one in after["assumptions"])
    assert any("the profile's" in one for one in before["assumptions"])


def test_a_cost_comes_as_a_table_and_as_pictures(client):
    job_id = submit(client, body(client, hardware={"profile": "ISAAC32nm"}))
    cost = client.get(f"/v1/jobs/{job_id}/cost").json()
    table = client.get(f"/v1/jobs/{job_id}/cost", params={"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert math.fsum(float(row["energy_j"]) for row in rows) == pytest.approx(cost["energy_j"]["nominal"])
    assert {row["group"] for row in rows} == {"analog", "digital"}
    svg = client.get(f"/v1/jobs/{job_id}/cost", headers={"Accept": "image/svg+xml"})
    assert svg.headers["content-type"].startswith("image/svg+xml")
    assert b"energy by component" in svg.content
    png = client.get(f"/v1/jobs/{job_id}/cost", params={"format": "png"})
    assert png.content.startswith(b"\x89PNG")
    parquet = client.get(f"/v1/jobs/{job_id}/cost", headers={"Accept": "application/vnd.apache.parquet"})
    assert parquet.status_code == 406


def test_a_model_of_an_older_version_is_looked_at_anew_when_its_file_comes_again(client):
    from app.db.tables import Model
    from tests.unit.app.jobs.submissions import RAW
    from tests.unit.app.networks import mlp_bytes

    model = client.post("/v1/models", content=mlp_bytes(), headers=RAW).json()["id"]
    with database_of(client).transaction() as session:
        row = session.get_one(Model, model)
        row.report = {key: value for key, value in row.report.items() if key != "operations"}
    request = {"model": model, "hardware": HERMES}
    assert any(
        "uploaded before" in one for one in client.post("/v1/cost", json=request).json()["assumptions"]
    )
    again = client.post("/v1/models", content=mlp_bytes(), headers=RAW)
    assert (again.status_code, again.json()["id"]) == (200, model)
    cost = client.post("/v1/cost", json=request).json()
    assert [layer["name"] for layer in cost["layers"]] == ["fc1", "fc2", "Relu"]
