"""From a model to its results in one call, and many jobs at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from driftline import arrays
from driftline.core.steps import Flow
from driftline.durations import Duration, all_seconds
from driftline.errors import DriftlineError, InvalidInput, JobFailed
from driftline.operations.datasets import upload_dataset
from driftline.operations.jobs import specification, submit
from driftline.operations.models import upload_model
from driftline.operations.naming import BUILTIN, Named, id_of, is_id
from driftline.operations.waiting import Watch, wait
from driftline.progress import shown

DEFAULT_PRESET: Final = "PCMExamplePreset"
DEFAULT_TIMES: Final = ("1 s", "1 h", "1 day", "1 month", "1 year")
_ROUND_S: Final = 1.0


def run(
    model: Any,
    data: Any,
    *,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    rpu_config: Mapping[str, Any] | None = None,
    times: Iterable[Duration] | Duration = DEFAULT_TIMES,
    repeats: int | Mapping[str, Any] | None = None,
    variants: Iterable[str] | None = None,
    max_samples: int | None = None,
    finetune: int | Mapping[str, Any] | None = None,
    example_input: Any = None,
    test_fraction: float | None = None,
    fresh: bool = False,
    progress: bool = True,
    timeout_s: float | None = None,
    raise_on_failure: bool = True,
    **job: Any,
) -> Flow[Any]:
    """Upload what is needed, submit a job, wait until it has ended, and return it.

    Args:
        model: what `upload_model` takes, or an uploaded model or its id.
        data: what `upload_dataset` takes, or a dataset or its id, such as `builtin:mnist10k`.
        preset: the name of the hardware, `PCMExamplePreset` by default.
        overrides: what to replace in the preset, such as `{"forward": {"out_noise": 0.08}}`.
        rpu_config: a whole RPU configuration instead of a preset.
        times: after programming, in seconds or as durations such as "1 month".
        repeats: how many chips, 10 by default, or what must be known, such as `{"until_ci95": 0.002}`.
        variants: networks to evaluate; `digital` and `direct` by default, and `hwa` with fine-tuning.
        max_samples: evaluate on the first samples only.
        finetune: HWA fine-tuning: a number of epochs, or its fields.
        example_input: for a torch module; by default the first samples of arrays that are given as `data`.
        test_fraction: share of `(x, y)` that is set apart for testing.
        fresh: compute everything, even what earlier jobs have computed already.
        progress: show a bar, on a terminal or in a notebook.
        timeout_s: how long to wait at most.
        raise_on_failure: raise if the job did not succeed.
        job: further fields of the job, such as `name`, `tags`, `seed`, `layers`, `calibration`.

    Raises:
        InvalidInput: an argument is wrong.
        InvalidRequest: the service finds faults; all of them are told.
        JobFailed: the job failed or was cancelled; the message says why.
    """
    hardware = _hardware(preset, overrides, rpu_config)
    t_inference = all_seconds(times)
    training = (
        {"epochs": finetune} if isinstance(finetune, int) and not isinstance(finetune, bool) else finetune
    )
    if variants is None:
        variants = ["digital", "direct", *(["hwa"] if training else [])]
    evaluate = {"t_inference": t_inference, "variants": list(variants)}
    evaluate |= {} if repeats is None else {"repeats": repeats}
    evaluate |= {} if max_samples is None else {"max_samples": max_samples}
    if example_input is None:
        example_input = arrays.first_samples(data, 2)
    # Data first: what is wrong with them shows at once, while the export of a module takes seconds.
    dataset_id = yield from _uploaded_dataset(data, test_fraction)
    model_id = yield from _uploaded_model(model, example_input)
    spec = {
        "model": model_id,
        "dataset": dataset_id,
        "rpu_config": hardware,
        "evaluate": evaluate,
        **({"finetune": training} if training else {}),
        **job,
    }
    submitted = yield from submit(spec, fresh=fresh)
    return (
        yield from wait(submitted, progress=progress, timeout_s=timeout_s, raise_on_failure=raise_on_failure)
    )


def map_jobs(
    specs: Iterable[Mapping[str, Any]],
    *,
    max_in_flight: int = 8,
    return_exceptions: bool = False,
    fresh: bool = False,
    progress: bool = True,
) -> Flow[list[Any]]:
    """Submit many jobs, some at a time, wait for all, and return them in the order of their specifications.

    Args:
        specs: specifications, as `submit` takes them.
        max_in_flight: how many jobs are submitted and have not ended, at most.
        return_exceptions: put the exception in the place of a job that was refused, failed or was cancelled;
            otherwise the first one is raised, and what was submitted goes on.
        fresh: compute everything, even what earlier jobs have computed already.
        progress: show a bar, on a terminal or in a notebook.

    Raises:
        InvalidInput: `max_in_flight` is not a positive number, or a specification is none.
        InvalidRequest: the service finds faults in a specification.
        JobFailed: a job failed or was cancelled.
    """
    if max_in_flight < 1:
        raise InvalidInput(f"max_in_flight is {max_in_flight}: it has to be 1 or more")
    wanted = [specification(spec) for spec in specs]
    waiting = deque(enumerate(wanted))
    found: dict[int, Any] = {}
    in_flight: dict[int, Watch] = {}
    with shown(wanted=progress and bool(wanted)) as bar:
        while waiting or in_flight:
            while waiting and len(in_flight) < max_in_flight:
                number, spec = waiting.popleft()
                try:
                    submitted = yield from submit(spec, fresh=fresh)
                except DriftlineError as error:
                    if not return_exceptions:
                        raise
                    found[number] = error
                else:
                    in_flight[number] = Watch(submitted["id"])
            yield from _look_at(in_flight)
            for number, watch in list(in_flight.items()):
                if watch.has_ended:
                    del in_flight[number]
                    found[number] = watch.job if watch.job["state"] == "succeeded" else JobFailed(watch.job)
                    if isinstance(found[number], JobFailed) and not return_exceptions:
                        raise found[number]
            share = sum(watch.job.get("progress", {}).get("fraction", 0.0) for watch in in_flight.values())
            bar.show((len(found) + share) / len(wanted), f"{len(found)} of {len(wanted)} jobs")
    return [found[number] for number in range(len(wanted))]


def _look_at(in_flight: Mapping[int, Watch]) -> Flow[None]:
    """Look at each job once, and wait a moment at the first for a change."""
    for position, watch in enumerate(in_flight.values()):
        yield from watch.look(_ROUND_S if position == 0 else 0.0)


def _hardware(
    preset: str | None, overrides: Mapping[str, Any] | None, rpu_config: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    if rpu_config is None:
        named = {"preset": preset or DEFAULT_PRESET}
        return {**named, "overrides": overrides} if overrides else named
    if preset is not None or overrides is not None:
        raise InvalidInput("give a whole rpu_config, or a preset with overrides, not both")
    return rpu_config


def _uploaded_model(model: Any, example_input: Any) -> Flow[str]:
    if _is_named(model):
        return id_of(model)
    return id_of((yield from upload_model(model, example_input)))


def _uploaded_dataset(data: Any, test_fraction: float | None) -> Flow[str]:
    if _is_named(data):
        return id_of(data)
    return id_of((yield from upload_dataset(data, test_fraction=test_fraction)))


def _is_named(thing: Named | Any) -> bool:
    """Tell whether the service has this already: a record, an id, or something built in."""
    if isinstance(thing, Mapping):
        return "id" in thing
    if not isinstance(thing, str):
        return False
    return thing.startswith(BUILTIN) or (is_id(thing) and not Path(thing).exists())
