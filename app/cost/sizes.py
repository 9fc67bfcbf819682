"""Sizes that a model's file leaves open, as the samples of a dataset fill them.

How often a layer is used, and what is computed in digital, follow from the size of the inputs. Where the
file leaves it open, it is looked at once more with the size of a dataset's samples, in a limited process.
What that finds is kept with the model's report, for each shape of samples.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import partial
from threading import Lock
from typing import Any, Final

from anyio import from_thread

from app.db.blobs import BlobMissing, BlobStore
from app.db.tables import Model
from app.kit.inspection import Inspector
from app.kit.problems import Problem

log = logging.getLogger(__name__)

Counts = Mapping[str, Any]  # `positions` of layers by name, and `operations`, as a model's report has them
_SIZED: Final = "sized"  # in a model's report: counts by shape of samples
_KEPT: Final = 8  # shapes of samples, of a model
_REMEMBERED: Final = 64  # of all models, until a job stores them


def leaves_sizes_open(report: Mapping[str, Any]) -> bool:
    """Return whether an input of a model has a size besides the batch that its file leaves open."""
    shapes = [one["shape"] for one in report.get("inputs", ())]
    return any(shape is None or not all(isinstance(size, int) for size in shape[1:]) for shape in shapes)


def sized(report: dict[str, Any], dataset: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a model's report with what is known of it for samples of a dataset.

    Args:
        report: of the model.
        dataset: its report; None where it is not known.
    """
    counts = None if dataset is None else report.get(_SIZED, {}).get(_key(dataset))
    return report if counts is None else filled(report, counts)


def filled(report: dict[str, Any], counts: Counts) -> dict[str, Any]:
    """Return a model's report with counts in the place of what its file leaves open."""
    positions = counts["positions"]
    layers = [
        {**layer, "positions": layer.get("positions") or positions.get(layer["name"])}
        for layer in report["layers"]
    ]
    return {**report, "layers": layers, "operations": counts["operations"]}


def remembering(report: dict[str, Any], dataset: Mapping[str, Any], counts: Counts) -> dict[str, Any]:
    """Return a model's report that has counts for samples of a dataset; the oldest of many give way."""
    known = {**report.get(_SIZED, {}), _key(dataset): counts}
    return {**report, _SIZED: dict(list(known.items())[-_KEPT:])}


def _key(dataset: Mapping[str, Any]) -> str:
    return json.dumps(_samples(dataset))


def _samples(dataset: Mapping[str, Any]) -> list[list[int]]:
    return [list(one["shape"]) for one in dataset["inputs"]]


class SizeReader:
    """Looks at models with the sizes of samples, for one application."""

    def __init__(self, inspector: Inspector, blobs: BlobStore) -> None:
        self._inspector = inspector
        self._blobs = blobs
        self._found: dict[tuple[str, str], Counts | None] = {}
        self._lock = Lock()

    def report_of(self, model: Model, dataset: Mapping[str, Any]) -> tuple[dict[str, Any], Counts | None]:
        """Return a model's report for samples of a dataset, and the counts that were not in it yet.

        Belongs into a worker thread.
        """
        counts = self._counts(model, dataset)
        report = sized(model.report, dataset) if counts is None else filled(model.report, counts)
        return report, counts

    def _counts(self, model: Model, dataset: Mapping[str, Any]) -> Counts | None:
        """Return what a model's file leaves open and samples of a dataset fill. Belongs into a worker thread.

        Returns:
            None where nothing is open, where the report has it already, and where it cannot be found.
        """
        report, key = model.report, (model.sha256, _key(dataset))
        if not leaves_sizes_open(report) or key[1] in report.get(_SIZED, {}):
            return None
        with self._lock:
            if key in self._found:
                return self._found[key]
        try:
            counts = self._looked_at(model, dataset)
        except Problem as problem:
            log.warning("model %s with samples of %s: %s", model.id, key[1], problem)
            if problem.status >= 500:  # another time it may be found
                return None
            counts = None
        with self._lock:
            self._found[key] = counts
            while len(self._found) > _REMEMBERED:
                del self._found[next(iter(self._found))]
        return counts

    def _looked_at(self, model: Model, dataset: Mapping[str, Any]) -> Counts | None:
        try:
            path = self._blobs.fetch(model.blob_key, sha256=model.report["sha256"])
        except BlobMissing:
            return None
        outputs = ",".join(one["name"] for one in model.report["outputs"])
        look = partial(
            self._inspector.inspect,
            "simulator.onnx",
            path,
            f"--outputs={outputs}",
            f"--samples={json.dumps(_samples(dataset))}",
            too_complex="model_too_complex",
            client="sizes",
        )
        found = from_thread.run(look)
        positions = {layer["name"]: layer["positions"] for layer in found["layers"] if layer["positions"]}
        return {"positions": positions, "operations": found["operations"]}
