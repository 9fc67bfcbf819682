"""A client that a generator makes of the OpenAPI document uploads a model, submits a job and reads its results."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from .conftest import MODEL, StartService, until

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The generated package's modules."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"post_hooks": []}))
    subprocess.run(
        [
            Path(sys.executable).with_name("openapi-python-client"), "generate", "--path", DOCUMENT, "--meta", "none",
            "--output-path", tmp_path / "generated_driftline", "--config", config,
        ],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ("api.models.upload_model", "api.jobs.submit_job", "api.jobs.get_job", "api.jobs.get_job_results")
    modules = {name.rpartition(".")[2]: import_module(f"generated_driftline.{name}") for name in names}
    yield SimpleNamespace(
        **modules,
        package=import_module("generated_driftline"),
        models=import_module("generated_driftline.models"),
        types=import_module("generated_driftline.types"),
    )
    for name in [name for name in sys.modules if name.startswith("generated_driftline")]:
        del sys.modules[name]


def test_a_generated_client_runs_a_job(start_service: StartService, generated: SimpleNamespace) -> None:
    with start_service() as (service, _), generated.package.Client(base_url=service.url) as client:
        file = generated.types.File(payload=BytesIO(MODEL.read_bytes()))
        model = generated.upload_model.sync(client=client, body=file, name="digits")
        assert {layer.kind for layer in model.layers} == {"analog", "digital"}
        job = generated.submit_job.sync(
            client=client,
            body=generated.models.JobCreate.from_dict(
                {
                    "model": model.id,
                    "dataset": "builtin:mnist10k",
                    "rpu_config": {"preset": "PCMExamplePreset"},
                    "evaluate": {"t_inference": [1, 3600], "repeats": 2, "max_samples": 50},
                }
            ),
        )
        until(
            lambda: generated.get_job.sync(job.id, client=client).state == "succeeded", "the job to succeed"
        )
        results = generated.get_job_results.sync(job.id, client=client, cells=True)
        assert results.complete
        assert [series.variant for series in results.series] == ["direct"]
        assert len(results.cells) == 4
        assert 0 < results.series[0].points[0].mean <= 1
