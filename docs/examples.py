"""Record the examples of the OpenAPI document from a real service: `python -m docs.examples`.

`python -m docs.openapi` then writes the document with them.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np

from app.settings import Settings
from worker.local import LocalService

RECORDED: Final = Path(__file__).parents[1] / "app" / "openapi_examples.json"
_MODEL: Final = Path(__file__).parents[1] / "examples" / "mnist_cnn.onnx"
_ANALYSES: Final = ("error_budget", "layer_sensitivity", "advice")
_JOB: Final[dict[str, Any]] = {
    "name": "Digits on phase-change memory",
    "tags": ["pcm"],
    "dataset": "builtin:mnist10k",
    "rpu_config": {
        "preset": "PCMExamplePreset",
        "overrides": {"modifier": {"type": "AddNormal", "std_dev": 0.1}},
    },
    "finetune": {"epochs": 1, "max_samples": 640, "optimizer": {"type": "sgd", "lr": 0.01, "momentum": 0.9}},
    "evaluate": {
        "t_inference": [1, 86400], "repeats": 3, "max_samples": 100, "variants": ["digital", "direct", "hwa"],
    },
    "hardware": {"profile": "HERMES14nm"},
    "analyses": [
        {"type": "error_budget", "variants": ["direct"]},
        {"type": "layer_sensitivity", "variants": ["direct"], "repeats": 2},
        {"type": "advice", "variants": ["direct"], "repeats": 2, "batches": 1},
    ],
    "seed": 42,
}  # fmt: skip

_PLANNED: Final[dict[str, Any]] = {
    "name": "How far apart services may be",
    "finetune": None,
    "evaluate": {"t_inference": [1, 86400], "repeats": 20, "max_samples": 20},
    "analyses": [{"type": "maintenance_plan", "accuracy": 0.9}],
}
_PATIENCE_S: Final = 60
_SHORT: Final = {"events": {"limit": 5}, "layers": {"layer": "conv1"}}
_SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - that of Standard Webhooks' documents


class Recorder:
    """Sends requests to a service and keeps what it answers, by operation and status."""

    def __init__(self, http: httpx.Client, operations: dict[tuple[str, str], str]) -> None:
        self._http = http
        self._operations = operations
        self.found: dict[str, dict[str, Any]] = {}

    def ask(
        self, method: str, path: str, template: str | None = None, *, name: str = "", **options: Any
    ) -> Any:
        """Send a request, keep its answer as the example of its operation, or one of that name; return it."""
        answer = self._http.request(method, path, **options)
        answer.raise_for_status()
        content = answer.json()
        operation = self._operations[method.lower(), template or path]
        self.found.setdefault(operation, {})[f"{answer.status_code} {name}".strip()] = content
        return content

    def of(self, method: str, parent: str, name: str, **options: Any) -> Any:
        """Do the same for what lies under a thing: `/v1/jobs/{job_id}` and `results`."""
        collection, _, _ = parent.rpartition("/")
        variable = {
            "jobs": "job_id",
            "models": "model_id",
            "datasets": "dataset_id",
            "webhooks": "webhook_id",
            "keys": "key_id",
        }
        kind = variable.get(collection.rpartition("/")[2], "config_id")
        end = f"/{name}" if name else ""
        return self.ask(method, f"{parent}{end}", f"{collection}/{{{kind}}}{end}", **options)


def record(service: LocalService) -> dict[str, dict[str, Any]]:
    """Return an answer for every operation that answers in JSON."""
    with httpx.Client(base_url=service.url, timeout=60) as http:
        document = http.get("/openapi.json").json()
        operations = {
            (method, path): operation["operationId"]
            for path, item in document["paths"].items()
            for method, operation in item.items()
        }
        recorder = Recorder(http, operations)
        ask, of = recorder.ask, recorder.of
        binary = {"Content-Type": "application/octet-stream"}
        model_bytes = _MODEL.read_bytes()
        for _ in range(2):  # new, then known
            model = ask("POST", "/v1/models", params={"name": "digits"}, content=model_bytes, headers=binary)
            dataset = ask(
                "POST", "/v1/datasets", params={"name": "squares"}, content=_squares(), headers=binary
            )
        job_request = {**_JOB, "model": model["id"]}
        job = ask("POST", "/v1/jobs", json=job_request)
        path = f"/v1/jobs/{job['id']}"
        while http.get(path).json()["state"] != "succeeded":
            time.sleep(0.2)
        of("GET", path, "")
        ask("POST", "/v1/jobs", params={"dry_run": True}, json={**job_request, "seed": 43})
        parts = (
            "results",
            "summary",
            "lifetime",
            "history",
            "analyses",
            "events",
            "artifacts",
            "layers",
            "cost",
        )
        for name in parts:
            of("GET", path, name, params=_SHORT.get(name, {}))
        one = "/v1/jobs/{job_id}/analyses/{analysis_type}"
        for name in _ANALYSES:
            ask("GET", f"{path}/analyses/{name}", one, name=name)
        _plan(recorder, http, {**job_request, **_PLANNED})
        other = of("POST", path, "extend", json={"repeats": 4})
        while http.get(f"/v1/jobs/{other['id']}").json()["state"] != "succeeded":
            time.sleep(0.2)
        ask("GET", "/v1/compare", params={"job": [job["id"], other["id"]]})
        third = http.post(
            "/v1/jobs",
            json={
                **job_request,
                "seed": 1,
                "finetune": None,
                "evaluate": {"t_inference": [1], "repeats": 2000},
            },
        ).json()
        of("POST", f"/v1/jobs/{third['id']}", "cancel")
        while http.get(f"/v1/jobs/{third['id']}").json()["state"] != "cancelled":
            time.sleep(0.2)
        again = of("POST", f"/v1/jobs/{third['id']}", "retry")
        http.post(f"/v1/jobs/{again['id']}/cancel")
        ask("GET", "/v1/jobs", params={"limit": 1, "state": "succeeded"})
        ask("GET", "/v1/models")
        of("GET", f"/v1/models/{model['id']}", "")
        ask("GET", "/v1/datasets", params={"limit": 2})
        of("GET", f"/v1/datasets/{dataset['id']}", "")
        of("GET", f"/v1/datasets/{dataset['id']}", "samples", params={"n": 2})
        _configurations(recorder)
        _costs(recorder, model["id"])
        _webhooks(recorder)
        for path in ("/v1/workers", "/healthz/live", "/healthz/ready"):
            ask("GET", path)
        schema = http.get("/v1/rpu-configs/schema").json()
        shown = {name: schema[name] for name in ("title", "description", "type") if name in schema}
        recorder.found["get_rpu_config_schema"] = {"200": shown}  # its beginning: the whole is long
        schema = http.get("/v1/hardware-profiles/schema").json()
        shown = {name: schema[name] for name in ("title", "description", "type") if name in schema}
        recorder.found["get_hardware_profile_schema"] = {"200": shown}
        _keys(recorder, http)
        return recorder.found


def _plan(recorder: Recorder, http: httpx.Client, request: dict[str, Any]) -> None:
    path = f"/v1/jobs/{http.post('/v1/jobs', json=request).json()['id']}"
    while http.get(path).json()["state"] != "succeeded":
        time.sleep(0.2)
    template = "/v1/jobs/{job_id}/analyses/{analysis_type}"
    recorder.ask("GET", f"{path}/analyses/maintenance_plan", template, name="maintenance_plan")


def _configurations(recorder: Recorder) -> None:
    overrides = {"preset": "PCMExamplePreset", "overrides": {"forward": {"out_noise": 0.04}}}
    recorder.ask("POST", "/v1/rpu-configs/validate", json=overrides)
    composer = {"adc": 8, "dac": 8, "output_noise_strength": 0.04, "device_id": "pcm"}
    recorder.ask("POST", "/v1/rpu-configs/import", json=composer)
    request = {"name": "quiet outputs", "description": "Less noise than the preset.", "config": overrides}
    stored = recorder.ask("POST", "/v1/rpu-configs", json=request)
    recorder.ask("GET", "/v1/rpu-configs")
    recorder.of("GET", f"/v1/rpu-configs/{stored['id']}", "")
    presets = recorder.ask("GET", "/v1/rpu-configs/presets")
    recorder.found["list_rpu_config_presets"]["200"] = {**presets, "items": presets["items"][:1]}


def _costs(recorder: Recorder, model_id: str) -> None:
    hardware = {"profile": "HERMES14nm"}
    request = {"model": model_id, "rpu_config": {"preset": "PCMExamplePreset"}, "hardware": hardware}
    recorder.ask("POST", "/v1/cost", json=request)
    recorder.ask("GET", "/v1/cost", params={"tag": "pcm"})
    override = {**hardware, "overrides": {"schedule": {"pipelined": False}}}
    recorder.ask("POST", "/v1/hardware-profiles/validate", json=override)
    profiles = recorder.ask("GET", "/v1/hardware-profiles")
    named = [one for one in profiles["items"] if one["name"] == "HERMES14nm"]
    recorder.found["list_hardware_profiles"]["200"] = {"items": named}


def _webhooks(recorder: Recorder) -> None:
    request = {"url": "https://example.org/driftline", "events": ["job.succeeded", "job.failed"]}
    webhook = recorder.ask("POST", "/v1/webhooks", json=request)
    webhook["secret"] = _SECRET
    path = f"/v1/webhooks/{webhook['id']}"
    recorder.of("GET", path, "")
    recorder.of("PATCH", path, "", json={"events": ["job.succeeded"]})
    recorder.of("POST", path, "test")
    (delivery,) = recorder.of("GET", path, "deliveries")["items"]
    recorder.ask("GET", "/v1/webhooks")
    rotated = recorder.of("POST", path, "rotate")
    rotated["secret"] = _SECRET
    _redelivery(recorder, path, delivery["id"])


def _redelivery(recorder: Recorder, path: str, delivery: str) -> None:
    """Record that a message is sent again, once it was delivered or given up."""
    template = "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"
    for _ in range(_PATIENCE_S):
        with contextlib.suppress(httpx.HTTPStatusError):  # it is on its way
            recorder.ask("POST", f"{path}/deliveries/{delivery}/redeliver", template)
            return
        time.sleep(1.0)
    raise TimeoutError("the message is still on its way")


def _keys(recorder: Recorder, http: httpx.Client) -> None:
    """Record keys last: as soon as there is one, every request needs one."""
    admin = {"name": "administration", "project": "default", "scopes": ["admin"]}
    http.headers["Authorization"] = f"Bearer {http.post('/v1/keys', json=admin).json()['key']}"
    request = {"name": "notebooks of the lab", "project": "lab", "scopes": ["read", "submit"]}
    made = recorder.ask("POST", "/v1/keys", json=request)
    path = f"/v1/keys/{made['id']}"
    recorder.of("GET", path, "")
    rotated = recorder.of("POST", path, "rotate", json={"grace_s": 3600})
    recorder.ask("GET", "/v1/keys", params={"project": "lab"})
    change = {"share": 2, "limits": {"jobs": 20, "seconds_a_day": 36000}}
    recorder.ask("PATCH", "/v1/projects/lab", "/v1/projects/{project_name}", json=change)
    recorder.ask("GET", "/v1/projects")
    http.headers["Authorization"] = f"Bearer {rotated['key']}"
    recorder.ask("GET", "/v1/whoami")
    recorder.ask("GET", "/v1/usage")
    for shown in (made, rotated):
        shown["key"] = f"{shown['prefix']}_{'A' * 43}"


def _squares() -> bytes:
    x = np.arange(40, dtype="float32").reshape(20, 2)
    file = io.BytesIO()
    np.savez(
        file,
        x_train=x[:16],
        y_train=(x[:16] ** 2).sum(axis=1),
        x_test=x[16:],
        y_test=(x[16:] ** 2).sum(axis=1),
    )
    return file.getvalue()


def main() -> None:
    """Record, and write what was recorded."""
    with tempfile.TemporaryDirectory() as folder:
        with LocalService(Settings(data_dir=Path(folder), port=0)) as service:
            found = record(service)
        text = json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True)
        RECORDED.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
