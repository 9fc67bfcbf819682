"""Whether a model and a dataset go together, from their reports alone, and what the task is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.config.faults import ConfigWarning, Fault
from simulator.config.tasks import Task

_FLOATS = ("float16", "float32", "float64", "bfloat16")


@dataclass(frozen=True)
class Fit:
    """What the comparison found.

    Attributes:
        task: what the network is asked to do; None when there are faults.
        faults: everything that does not fit, pointing into a job's specification.
        warnings: how outputs and targets are read where they could be meant otherwise.
    """

    task: Task | None
    faults: tuple[Fault, ...]
    warnings: tuple[ConfigWarning, ...] = ()


def check_compatibility(model: dict[str, Any], dataset: dict[str, Any], task: Task | None = None) -> Fit:
    """Compare a model's report with a dataset's.

    Args:
        model: with `inputs` and `outputs`: name, dtype and shape with the batch first, where a string or None
            is a size left open.
        dataset: with `inputs` (name, dtype, shape of a sample), `targets` (shape, kind) and `classes`.
        task: what the user says it is; inferred when None.
    """
    faults = input_faults(model["inputs"], dataset["inputs"])
    found, output_faults = _check_output(model["outputs"], dataset, task)
    faults += output_faults
    if faults or found is None:
        return Fit(None, tuple(faults))
    return Fit(found, (), tuple(_readings(found, model["outputs"][0], dataset, said=task is not None)))


def inputs_in_order(model: Sequence[str], dataset: Sequence[str]) -> tuple[int, ...] | None:
    """Return which of a dataset's inputs each input of a model gets.

    The first input of a dataset is called `x`, and is the one that no other names. Where none of the others
    has the name of an input, all are taken in the order of the file.

    Args:
        model: the names of the model's inputs, in its order.
        dataset: those of the dataset's, as many, in the order of the file.

    Returns:
        For each input of the model the place of the dataset's; None where only some of the names are known.
    """
    further = list(dataset[1:])
    known = [name for name in further if name in model]
    if not known:
        return tuple(range(len(dataset)))
    if len(known) < len(further):
        return None
    return tuple(1 + further.index(name) if name in further else 0 for name in model)


def _readings(
    task: Task, output: dict[str, Any], dataset: dict[str, Any], *, said: bool
) -> Iterator[ConfigWarning]:
    """Say how outputs and targets are read."""
    kind, activation = dataset["targets"]["kind"], output.get("activation")
    if task in _CLASSES and kind == "one_hot" and _target_of(task, dataset) != dataset["targets"]["shape"]:
        message = (
            "every target is one-hot: class indices are read from it, and accuracy counts right classes; for "
            "labels of their own say task multi_label"
        )
        yield ConfigWarning("/dataset", "one_hot_labels", message)
    if kind == "class_or_value" and not said:
        other = Task.REGRESSION if task == Task.CLASSIFICATION else Task.CLASSIFICATION
        message = (
            f"the targets are whole numbers, read for a {task}; if they are meant otherwise say task {other}"
        )
        yield ConfigWarning("/dataset", "task_inferred", message)
    if activation is not None and task != Task.REGRESSION:
        ending, meaning = _ENDINGS[activation]
        message = (
            f"the network's output {output['name']!r} ends in {ending}: its numbers are read as {meaning}; "
            "it is trained and scored on the logits that belong to them"
        )
        yield ConfigWarning("/model", "output_activation", message)


def input_faults(wanted: list[dict[str, Any]], given: list[dict[str, Any]]) -> list[Fault]:
    """Return where the samples of a dataset do not fit the inputs of a model.

    Args:
        wanted: the model's inputs: name, dtype and shape with the batch first.
        given: the dataset's: name, dtype and shape of a sample.
    """
    if len(wanted) != len(given):
        names = ", ".join(f"{one['name']} {one['shape']}" for one in wanted)
        found = ", ".join(one["name"] for one in given)
        message = f"the model has {len(wanted)} inputs ({names}) and the dataset {len(given)} ({found})"
        hint = "a dataset has the array x for one input, and x_<name of the input> for each other one"
        return [Fault("/dataset", "dataset_mismatch", message, hint)]
    called = [one["name"] for one in wanted]
    order = inputs_in_order(called, [one["name"] for one in given])
    if order is None:
        strange = ", ".join(f"x_{one['name']}" for one in given[1:] if one["name"] not in called)
        message = f"the model's inputs are {', '.join(called)}, and the dataset has {strange} for one of them"
        hint = "call each array x_<name of its input>, but that of the remaining input x"
        return [Fault("/dataset", "dataset_mismatch", message, hint)]
    faults = []
    for model_input, data_input in zip(wanted, (given[place] for place in order), strict=True):
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
            wants_float = model_input["dtype"] in _FLOATS
            hint = _STORE_FLOATS if wants_float else _STORE_INTEGERS
            faults.append(Fault("/dataset", "dataset_mismatch", message, hint))
    return faults


def _check_output(
    outputs: list[dict[str, Any]], dataset: dict[str, Any], task: Task | None
) -> tuple[Task | None, list[Fault]]:
    if len(outputs) != 1:
        names = ", ".join(one["name"] for one in outputs)
        message = f"the model has {len(outputs)} outputs ({names}) and a task uses one"
        hint = (
            f"upload it once more with the output that the job is about, such as "
            f"POST /v1/models?outputs={outputs[0]['name']}, and name that model in the job"
        )
        return None, [Fault("/model", "dataset_mismatch", message, hint)]
    shape = outputs[0]["shape"]
    sample = None if shape is None else shape[1:]
    possible = [kind for kind in _tasks_of(dataset) if _output_fault(kind, sample, dataset) is None]
    wanted = task or _unambiguous(possible, dataset)
    if wanted is None and len(possible) > 1 and dataset["targets"]["kind"] != "class":
        names = " or ".join(possible)
        message = f"the task may be {names}: the output is {_show(shape)} and a target {_target(dataset)}"
        return None, [Fault("/task", "task_ambiguous", f"{message}; say which")]
    wanted = wanted or _tasks_of(dataset)[0]
    allowed_tasks = _tasks_of(dataset)
    if dataset["targets"]["kind"] == "class" and Task.REGRESSION not in possible:
        allowed_tasks = (Task.CLASSIFICATION,)
    if wanted not in allowed_tasks:
        kinds, allowed = _KINDS[dataset["targets"]["kind"]], " or ".join(allowed_tasks)
        message = f"the dataset's targets are {kinds}, so the task is {allowed}, not {wanted}"
        return None, [Fault("/task", "task_mismatch", message)]
    fault = _output_fault(wanted, sample, dataset)
    if fault is not None:
        message = f"the output {outputs[0]['name']!r} is {_show(shape)} {fault}"
        return None, [Fault("/dataset", "dataset_mismatch", message)]
    return wanted, []


_STORE_FLOATS = "store it as float32 (array.astype('float32')); of integers only bytes (uint8) become floats"
_STORE_INTEGERS = "store it as integers, for example with array.astype('int64'); bytes (uint8) become floats"
_CLASSES = (Task.CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.NEXT_TOKEN)
_ENDINGS = {
    "sigmoid": ("Sigmoid", "probabilities"),
    "softmax": ("Softmax", "probabilities"),
    "log_softmax": ("LogSoftmax", "logarithms of probabilities"),
    "probabilities": ("what gives probabilities", "probabilities"),
    "log_probabilities": ("a logarithm of probabilities", "logarithms of probabilities"),
}
_KINDS = {
    "class": "class indices",
    "class_or_value": "whole numbers, one a sample",
    "one_hot": "one-hot",
    "class_per_position": "class indices, several a sample",
    "labels": "zeros and ones, several a sample",
    "real": "real values",
}
_TASKS: dict[str, tuple[Task, ...]] = {
    "class": (Task.CLASSIFICATION, Task.REGRESSION),
    "class_or_value": (Task.CLASSIFICATION, Task.REGRESSION),
    "one_hot": (
        Task.CLASSIFICATION,
        Task.TOKEN_CLASSIFICATION,
        Task.NEXT_TOKEN,
        Task.MULTI_LABEL,
        Task.REGRESSION,
    ),
    "class_per_position": (Task.TOKEN_CLASSIFICATION, Task.NEXT_TOKEN, Task.REGRESSION),
    "labels": (Task.MULTI_LABEL, Task.TOKEN_CLASSIFICATION, Task.NEXT_TOKEN, Task.REGRESSION),
    "real": (Task.REGRESSION,),
}


def _tasks_of(dataset: dict[str, Any]) -> tuple[Task, ...]:
    """Return what the targets allow, the likeliest first."""
    return _TASKS[dataset["targets"]["kind"]]


def _unambiguous(possible: list[Task], dataset: dict[str, Any]) -> Task | None:
    """Return the task when there is no doubt: zeros and ones are labels, next tokens follow from tokens."""
    doubtful = set(possible)
    kind = dataset["targets"]["kind"]
    if kind == "class":
        doubtful -= {Task.REGRESSION}  # unless it is said
    if kind == "labels":
        doubtful -= {Task.NEXT_TOKEN, Task.REGRESSION if Task.MULTI_LABEL in doubtful else Task.NEXT_TOKEN}
    classes = [task for task in (Task.CLASSIFICATION, Task.TOKEN_CLASSIFICATION) if task in doubtful]
    if kind in ("one_hot", "class_or_value") and classes:
        return classes[0]
    first = dataset["inputs"][0]
    if _becomes_float(first["dtype"]) or list(first["shape"]) != list(dataset["targets"]["shape"]):
        doubtful -= {Task.NEXT_TOKEN}
    return next(iter(doubtful)) if len(doubtful) == 1 else None


def _output_fault(task: Task, sample: list[Any] | None, dataset: dict[str, Any]) -> str | None:
    """Return what is wrong with an output of this shape (without the batch) for the task."""
    target = _target_of(task, dataset)
    if sample is None:
        return None
    if task in (Task.REGRESSION, Task.MULTI_LABEL):
        same = _elements(sample) in (None, _elements(target) or 1)
        return None if same else f"and a target is {_target(dataset)}"
    if task == Task.CLASSIFICATION:
        if target:
            return f"and a target is {_target(dataset)}, not one class"
        if _elements(sample) == 1 and dataset["classes"] in (1, 2):
            return None  # the logit or the probability of the second class
        if len(sample) != 1:
            return "; a classifier's is [batch, classes]"
        return _too_few(sample[0], dataset)
    if len(sample) != len(target) + 1:
        return f"and a target is {_target(dataset)}; one more dimension is needed, of the classes"
    if _fits(sample[:-1], target):
        return _too_few(sample[-1], dataset)
    if _fits(sample[1:], target):
        return _too_few(sample[0], dataset)
    return f"and a target is {_target(dataset)}: the positions differ"


def _target_of(task: Task, dataset: dict[str, Any]) -> list[int]:
    """Return the shape of a target as the task compares it with outputs, without what spells out a class."""
    shape: list[int] = dataset["targets"]["shape"]
    kind = dataset["targets"]["kind"]
    spelt = kind == "one_hot" and (task == Task.CLASSIFICATION or (task in _CLASSES and len(shape) > 1))
    return shape[:-1] if spelt or (kind == "class_or_value" and task == Task.CLASSIFICATION) else shape


def _too_few(size: Any, dataset: dict[str, Any]) -> str | None:
    classes = dataset["classes"] or (2 if dataset["targets"]["kind"] == "labels" else 0)
    if isinstance(size, int) and size < classes:
        return f"and the dataset has {classes} classes"
    return None


def _target(dataset: dict[str, Any]) -> str:
    return _show(dataset["targets"]["shape"])


def _becomes_float(dtype: str) -> bool:
    """Tell whether the loader makes floats of this dtype: of floats and of bytes, which are images."""
    return dtype.startswith("float") or dtype in ("uint8", "bool")


def _fits(wanted: list[int | str | None], given: list[int]) -> bool:
    if len(wanted) != len(given):
        return False
    return all(not isinstance(one, int) or one == other for one, other in zip(wanted, given, strict=True))


def _elements(shape: Sequence[int | str | None]) -> int | None:
    count = 1
    for size in shape:
        if not isinstance(size, int):
            return None
        count *= size
    return count


def _show(shape: list[int | str | None] | None) -> str:
    if shape is None:
        return "of unknown shape"
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
