"""What an inference of a job's network costs, with what the job measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.cost.pricing import cost_of
from app.cost.sizes import sized
from app.db.blobs import BlobStore
from app.db.tables import Artifact, Job, Model
from app.engine.specification import config_of, dataset_report, spec_of
from app.results.layers import CONVERSION, read_conversion
from simulator.cost import Activity, BitsNotPricedError, resolve_hardware

HARDWARE: Final = "hardware"  # in a job's specification
_SINGLE_PAIR: Final = "SinglePairConductanceConverter"
_US: Final = 1e-6


class NoCostError(Exception):
    """There is no cost to be told; the message says why, in a sentence."""


@dataclass(frozen=True)
class JobCost:
    """What an inference of a job's network costs.

    Attributes:
        answer: as the API has it.
        is_final: whether nothing that the job measures later will change it.
        is_own: whether the job itself names the hardware.
    """

    answer: dict[str, Any]
    is_final: bool
    is_own: bool


def job_cost(session: Session, blobs: BlobStore, job: Job, profile: str | None = None) -> JobCost | None:
    """Return what an inference of a job's network costs; None where neither job nor caller names hardware.

    Args:
        session: reads the model and the job's files.
        blobs: has the files.
        job: the job.
        profile: name of a profile to use in the place of the job's own.

    Raises:
        NoCostError: it cannot be estimated.
    """
    hardware = job.spec.get(HARDWARE) if profile is None else {"profile": profile}
    if hardware is None:
        return None
    model = session.get(Model, job.model_id)
    if model is None:
        raise NoCostError("The model of this job was deleted, and its shapes with it.")
    described = session.get(Artifact, (job.id, CONVERSION))
    report = sized(model.report, dataset_report(session, job.dataset_ref))
    try:
        uses_it = resolve_hardware(hardware).uses_measurements
        activity = _activity(blobs, described, job) if described is not None and uses_it else None
        answer = cost_of(report, config_of(job), spec_of(job).rules, hardware, activity)
    except BitsNotPricedError as error:
        raise NoCostError(f"The profile does not fit the job: {error}.") from None
    except ValidationError:
        raise NoCostError("This version of the service no longer takes what the job was made of.") from None
    may_change = uses_it and described is None
    return JobCost({"job": job.id, **answer}, is_final=not may_change, is_own=profile is None)


def _activity(blobs: BlobStore, described: Artifact, job: Job) -> dict[str, Activity] | None:
    """Return what a job measured in its layers; None where the file is gone."""
    conversion = read_conversion(blobs, described.blob_key)
    return None if conversion is None else activity_of(conversion, job.effective_config)


def activity_of(conversion: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Activity]:
    """Return the mean absolute input and the mean conductance of each layer.

    Args:
        conversion: the job's `conversion.json`.
        config: its effective RPU configuration, for the range of conductances of a single pair of devices.
    """
    return {
        layer["name"]: Activity(
            mean_input=_mean_size(layer.get("dac"), "counts", most=1.0),
            conductance_s=_conductance_s(_mean_size(layer.get("weights"), "programmed"), config),
        )
        for layer in conversion.get("layers", [])
    }


def _mean_size(histogram: Mapping[str, Any] | None, name: str, most: float | None = None) -> float | None:
    """Return the mean absolute value that a histogram over -limit to limit shows; None where it shows none.

    Args:
        histogram: with `limit`, `bins` and counts.
        name: of the counts.
        most: where values are clipped.
    """
    if histogram is None:
        return None
    counts, limit, bins = histogram[name], histogram["limit"], histogram["bins"]
    total = sum(counts)
    if not total:
        return None
    places = (abs(-limit + 2 * limit * (number + 0.5) / bins) for number in range(bins))
    sizes = (place if most is None else min(place, most) for place in places)
    return float(sum(count * size for count, size in zip(counts, sizes, strict=True)) / total)


def _conductance_s(mean_weight: float | None, config: Mapping[str, Any]) -> float | None:
    """Return the mean conductance of a device of a single pair, in S; None for other converters."""
    noise_model = config.get("noise_model") or {}
    converter = noise_model.get("g_converter") or {}
    if mean_weight is None or converter.get("type", _SINGLE_PAIR) != _SINGLE_PAIR:
        return None
    g_max = converter.get("g_max", noise_model.get("g_max"))
    g_min = converter.get("g_min", 0.0)
    if not isinstance(g_max, int | float):
        return None
    return _US * float(g_min + mean_weight * (g_max - g_min) / 2)
