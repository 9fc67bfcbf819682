"""The client: one method an endpoint, JSON in and out, problems as exceptions."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

FINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})


class ApiError(Exception):
    """The service answered with a problem.

    Attributes:
        status: the HTTP status.
        problem: the whole `application/problem+json` body: code, detail, and every fault with its pointer.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        faults = [f"\n  {e.get('pointer', '')}: {e.get('message', '')}" for e in problem.get("errors", [])]
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}{''.join(faults)}")
        self.status = status
        self.problem = problem


class Driftline:
    """A connection to the service. A context manager.

    Args:
        base_url: where the service is, such as `http://127.0.0.1:8000`.
        timeout_s: for one request.
    """

    def __init__(self, base_url: str, *, timeout_s: float = 60.0) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def upload_model(
        self, path: Path | str, name: str | None = None, outputs: str | None = None
    ) -> dict[str, Any]:
        """Upload an ONNX file and return the model; the same bytes again give the same model.

        `outputs` names the outputs to keep, with commas between them.
        """
        path = Path(path)
        options = {} if outputs is None else {"outputs": outputs}
        return self._upload("/v1/models", path, {"name": name or path.stem, **options})

    def upload_dataset(self, path: Path | str, name: str | None = None, **options: Any) -> dict[str, Any]:
        """Upload an `.npz`, `.safetensors`, `.parquet` or `.csv`; `test_fraction` and `seed` split it."""
        path = Path(path)
        return self._upload("/v1/datasets", path, {"name": name or path.stem, **options})

    def model(self, model_id: str) -> dict[str, Any]:
        """Return a model."""
        return self._json("GET", f"/v1/models/{model_id}")

    def submit(self, job: dict[str, Any], *, fresh: bool = False) -> dict[str, Any]:
        """Submit a job and return it; `fresh` has even known cells computed again."""
        headers = {"Cache-Control": "no-cache"} if fresh else {}
        return self._json("POST", "/v1/jobs", json=job, headers=headers)

    def dry_run(self, job: dict[str, Any]) -> dict[str, Any]:
        """Return what a job would be: tiles, devices, cells, seconds."""
        return self._json("POST", "/v1/jobs", json=job, params={"dry_run": True})

    def retry(self, job_id: str) -> dict[str, Any]:
        """Submit a failed or cancelled job again; return the new job."""
        return self._json("POST", f"/v1/jobs/{job_id}/retry")

    def extend(self, job_id: str, **more: Any) -> dict[str, Any]:
        """Submit a finished job with more `repeats` or `t_inference`; return the new job."""
        return self._json("POST", f"/v1/jobs/{job_id}/extend", json=more)

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job."""
        return self._json("GET", f"/v1/jobs/{job_id}")

    def wait(
        self,
        job_id: str,
        *,
        on_change: Callable[[dict[str, Any]], None] = lambda _: None,
        interval_s: float = 0.5,
    ) -> dict[str, Any]:
        """Wait until the job has ended and return it; `on_change` hears of every change that was seen."""
        etag = ""
        while True:
            response = self._send(
                "GET", f"/v1/jobs/{job_id}", headers={"If-None-Match": etag} if etag else {}
            )
            if response.status_code != httpx.codes.NOT_MODIFIED:
                etag = response.headers.get("etag", "")
                job: dict[str, Any] = response.json()
                on_change(job)
                if job["state"] in FINAL_STATES:
                    return job
            time.sleep(interval_s)

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel a job that has not ended."""
        return self._json("POST", f"/v1/jobs/{job_id}/cancel")

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended, with its results and files."""
        self._send("DELETE", f"/v1/jobs/{job_id}")

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """Return what happened to the job so far, in order."""
        events: list[dict[str, Any]] = []
        cursor: dict[str, Any] = {}
        while True:
            page = self._json("GET", f"/v1/jobs/{job_id}/events", params={"limit": 200, **cursor})
            events += page["items"]
            if page["next_cursor"] is None:
                return events
            cursor = {"cursor": page["next_cursor"]}

    def results(self, job_id: str, *, cells: bool = False) -> dict[str, Any]:
        """Return the results so far."""
        return self._json("GET", f"/v1/jobs/{job_id}/results", params={"cells": cells})

    def compare(self, *job_ids: str) -> dict[str, Any]:
        """Return jobs side by side, each against the first."""
        return self._json("GET", "/v1/compare", params={"job": list(job_ids)})

    def results_as(self, job_id: str, file_format: str) -> bytes:
        """Return the results as `csv`, `svg` or `png`."""
        return self._send("GET", f"/v1/jobs/{job_id}/results", params={"format": file_format}).content

    def history(self, job_id: str) -> dict[str, Any]:
        """Return the fine-tuning epochs."""
        return self._json("GET", f"/v1/jobs/{job_id}/history")

    def artifact(self, job_id: str, name: str) -> bytes:
        """Return a file that the job made."""
        return self._send("GET", f"/v1/jobs/{job_id}/artifacts/{name}").content

    def _upload(self, url: str, path: Path, params: dict[str, Any]) -> dict[str, Any]:
        with path.open("rb") as file:
            return self._json("POST", url, params=params, files={"file": (path.name, file)})

    def _json(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        result: dict[str, Any] = self._send(method, url, **options).json()
        return result

    def _send(self, method: str, url: str, **options: Any) -> httpx.Response:
        response = self._http.request(method, url, **options)
        if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
            return response
        try:
            problem = response.json()
        except ValueError:
            problem = {"code": "http_error", "detail": response.text[:200]}
        raise ApiError(response.status_code, problem)
