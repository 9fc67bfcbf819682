"""Whether a model and a dataset go together, from their reports alone, and what the task is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from simulator.config.faults import Fault

TaskKind = Literal["classification", "regression"]

_FLOATS = ("float16", "float32", "float64", "bfloat16")


@dataclass(frozen=True)
class Fit:
    """What the comparison found.

    Attributes:
        task: what the network is asked to do; None when there are faults.
        faults: everything that does not fit, pointing into a job's specification.
    """

    task: TaskKind | None
    faults: tuple[Fault, ...]


def check_compatibility(model: dict[str, Any], dataset: dict[str, Any], task: str | None = None) -> Fit:
    """Compare a model's report with a dataset's.

    Args:
        model: with `inputs` and `outputs`: name, dtype and shape with the batch first, where a string or None
            is a size left open.
        dataset: with `inputs` (name, dtype, shape of a sample), `targets` (shape, kind) and `classes`.
        task: what the user says it is; inferred when None.
    """
    faults = _check_inputs(model["inputs"], dataset["inputs"])
    found, output_faults = _check_output(model["outputs"], dataset, task)
    faults += output_faults
    return Fit(None if faults else found, tuple(faults))


def _check_inputs(wanted: list[dict[str, Any]], given: list[dict[str, Any]]) -> list[Fault]:
    if len(wanted) != len(given):
        names = ", ".join(f"{one['name']} {one['shape']}" for one in wanted)
        message = f"the model has {len(wanted)} inputs ({names}) and the dataset {len(given)}"
        return [Fault("/dataset", "dataset_mismatch", message)]
    faults = []
    for model_input, data_input in zip(wanted, given, strict=True):
        shape, sample = model_input["shape"], data_input["shape"]
        if shape is not None and not _fits(shape[1:], sample):
            message = (
                f"the model's input {model_input['name']!r} is {_show(shape)} (batch first) and a sample of "
                f"the dataset's {data_input['name']!r} is {_show(sample)}"
            )
            faults.append(Fault("/dataset", "dataset_mismatch", message))
        if (model_input["dtype"] in _FLOATS) != _becomes_float(data_input["dtype"]):
            message = (
                f"the model's input {model_input['name']!r} takes {model_input['dtype']} and the dataset's "
                f"{data_input['name']!r} is {data_input['dtype']}"
            )
            faults.append(Fault("/dataset", "dataset_mismatch", message))
    return faults


def _check_output(
    outputs: list[dict[str, Any]], dataset: dict[str, Any], task: str | None
) -> tuple[TaskKind | None, list[Fault]]:
    targets = dataset["targets"]
    inferred: TaskKind = "classification" if targets["kind"] == "class" else "regression"
    if task is not None and task != inferred:
        kind = "class indices" if inferred == "classification" else "real values"
        message = f"the dataset's targets are {kind}, so the task is {inferred}, not {task}"
        return None, [Fault("/task", "task_mismatch", message)]
    if len(outputs) != 1:
        names = ", ".join(one["name"] for one in outputs)
        message = f"the model has {len(outputs)} outputs ({names}); one is needed"
        return None, [Fault("/model", "dataset_mismatch", message)]
    shape = outputs[0]["shape"]
    if shape is None:
        return inferred, []
    name = outputs[0]["name"]
    if inferred == "regression":
        if _elements(shape[1:]) not in (None, _elements(targets["shape"]) or 1):
            message = f"the output {name!r} is {_show(shape)} and a target is {_show(targets['shape'])}"
            return None, [Fault("/dataset", "dataset_mismatch", message)]
        return inferred, []
    if len(shape) != 2:
        message = f"the output {name!r} is {_show(shape)}; a classifier's is [batch, classes]"
        return None, [Fault("/model", "dataset_mismatch", message)]
    if isinstance(shape[1], int) and shape[1] < dataset["classes"]:
        message = f"the output {name!r} is {_show(shape)} and the dataset has {dataset['classes']} classes"
        return None, [Fault("/dataset", "dataset_mismatch", message)]
    return inferred, []


def _becomes_float(dtype: str) -> bool:
    """Tell whether the loader makes floats of this dtype: of floats and of bytes, which are images."""
    return dtype.startswith("float") or dtype in ("uint8", "bool")


def _fits(wanted: list[int | str | None], given: list[int]) -> bool:
    if len(wanted) != len(given):
        return False
    return all(not isinstance(one, int) or one == other for one, other in zip(wanted, given, strict=True))


def _elements(shape: list[int | str | None]) -> int | None:
    count = 1
    for size in shape:
        if not isinstance(size, int):
            return None
        count *= size
    return count


def _show(shape: list[int | str | None]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
