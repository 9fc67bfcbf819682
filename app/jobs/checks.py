"""Everything about a job that can be checked at submission, so that no job fails for what was knowable."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from pydantic import ValidationError

from app.configs.schemas import is_reference
from app.configs.service import meaning_of, pointer_in
from app.cost.pricing import cost_of, not_priced
from app.cost.sizes import Counts, SizeReader
from app.db.tables import Dataset, Model
from app.engine.kinds.analyses.plan import analysis_cells, first_items
from app.engine.kinds.analyses.subject import Subject
from app.jobs.repository import JobRepository
from app.jobs.schemas import JobCreate
from app.kit.faults import from_pydantic, pointer
from app.kit.problems import Fault
from simulator.config import (
    FinetuneSpec,
    InferenceRPUConfig,
    LayerRules,
    LossType,
    Variant,
    effective,
    finetune_warnings,
    time_warnings,
    training_warnings,
    unsupported,
    warnings_for,
    with_overrides,
)
from simulator.config.analyses import analysis_faults
from simulator.config.compatibility import check_compatibility
from simulator.config.datasets import builtin_datasets
from simulator.config.faults import Fault as ConfigFault
from simulator.config.maintenance import kind_faults, maintenance_faults, maintenance_warnings
from simulator.config.services import timing_warnings
from simulator.config.tasks import TASKS, Task
from simulator.config.training import kept_apart
from simulator.config.training_config import NOT_TRAINED_WITH, training_config, training_config_faults
from simulator.cost import BitsNotPricedError

BUILTIN = "builtin:"
_CONFIG = ("rpu_config",)
_TRAINING = ("finetune", "rpu_config")
_WARNED_COMBINATIONS = 50  # of overrides; each takes a moment


@dataclass
class Checked:
    """What the checks found: faults, or all that a job is made of."""

    faults: list[Fault] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    model: Model | None = None
    dataset: Dataset | None = None
    dataset_report: dict[str, Any] | None = None
    report: dict[str, Any] = field(default_factory=dict)  # the model's, with the sizes of the samples
    counts: Counts | None = None  # what was found for that, to be kept with the model
    task: Task | None = None
    layer_configs: list[InferenceRPUConfig] = field(default_factory=list)
    training_configs: list[InferenceRPUConfig] = field(default_factory=list)
    cost: dict[str, Any] | None = None


def check(request: JobCreate, jobs: JobRepository, sizes: SizeReader, *, max_cells: int) -> Checked:
    """Check a well-formed request against what is stored, and against what the simulator can do."""
    found = Checked()
    _look_up_config(request, jobs, found)
    _check_model(request, jobs, found)
    _check_dataset(request, jobs, found)
    _check_size(request, max_cells, found)
    found.faults += _faults("", analysis_faults(request))
    found.faults += _faults("/evaluate", request.evaluate.repeats_faults())
    found.faults += _faults("/evaluate", request.evaluate.maintenance_faults())
    _check_finetune(request, found)
    _check_config(request, found)
    _check_training_config(request, found)
    if found.model is not None:
        _check_layers(request, found.model, found)
    _check_maintenance(request, found)
    if found.model is not None:
        _check_analyses(request, found.model, max_cells, found)
        if found.dataset_report is not None:
            _check_fit(request, found.model, found.dataset_report, found)
    _warn_about_finetune(request, found)
    _warn_about_calibration(request, found)
    if found.model is not None and found.dataset_report is not None and not found.faults:
        found.report, found.counts = sizes.report_of(found.model, found.dataset_report)
        _price(request, found)
    return found


def _price(request: JobCreate, found: Checked) -> None:
    """Estimate what an inference costs on the hardware that the job names."""
    if request.hardware is None:
        return
    try:
        found.cost = cost_of(found.report, request.config, request.rules, request.hardware)
    except BitsNotPricedError as error:
        found.faults.append(not_priced(error))
    else:
        found.warnings += found.cost["warnings"]


def _check_model(request: JobCreate, jobs: JobRepository, found: Checked) -> None:
    found.model = jobs.model(request.model)
    if found.model is None:
        found.faults.append(
            Fault(
                pointer="/model",
                code="unknown_model",
                message=f"there is no model {request.model[:100]!r}",
                hint="upload it with POST /v1/models, or see GET /v1/models",
            )
        )
    elif found.model.verification_state == "failed":
        found.faults.append(
            Fault(
                pointer="/model",
                code="import_mismatch",
                message="this model's import was found to differ from the file; it cannot be simulated",
            )
        )


def _check_dataset(request: JobCreate, jobs: JobRepository, found: Checked) -> None:
    name = request.dataset
    if name.startswith(BUILTIN):
        found.dataset_report = builtin_datasets().get(name)
    else:
        found.dataset = jobs.dataset(name)
        found.dataset_report = None if found.dataset is None else found.dataset.report
    if found.dataset_report is None:
        known = ", ".join(sorted(builtin_datasets()))
        found.faults.append(
            Fault(
                pointer="/dataset",
                code="unknown_dataset",
                message=f"there is no dataset {name[:100]!r}",
                hint=f"built in: {known}; others are uploaded with POST /v1/datasets",
            )
        )


def _check_size(request: JobCreate, max_cells: int, found: Checked) -> None:
    count = request.cells
    if count > max_cells:
        message = f"variants x repeats x times are {count} cells, more than the limit of {max_cells}"
        hint = "ask for fewer repeats or times, or split the job"
        found.faults.append(Fault(pointer="/evaluate", code="too_many_cells", message=message, hint=hint))


def _check_analyses(request: JobCreate, model: Model, max_cells: int, found: Checked) -> None:
    """Check how much the analyses of a job without faults evaluate."""
    if not request.analyses or found.faults:
        return
    subject = Subject.of(request, request.config, model.report)
    count = request.cells + analysis_cells(first_items(subject, 0, lambda _: ()), request)
    if count > max_cells:
        message = f"with its analyses, the job has {count} cells, more than the limit of {max_cells}"
        hint = "ask for fewer chips or times in the analyses"
        found.faults.append(Fault(pointer="/analyses", code="too_many_cells", message=message, hint=hint))


def _check_maintenance(request: JobCreate, found: Checked) -> None:
    """Check whether the services of a schedule can be done on the layers as they are configured."""
    report = None if found.model is None else found.model.report
    train_size = None if found.dataset_report is None else found.dataset_report["train_size"]
    evaluate = request.evaluate
    faults = maintenance_faults(evaluate.maintenance or (), found.layer_configs, report, train_size)
    found.faults += _faults("/evaluate/maintenance", faults)
    for number, one in enumerate(request.analyses):
        for step, kind in enumerate(one.services):
            more = kind_faults(kind, found.layer_configs, report, train_size)
            found.faults += _faults(f"/analyses/{number}/do/{step}", more)
    warnings = maintenance_warnings(
        evaluate.maintenance, evaluate.t_inference, train_size, is_analog=bool(request.analog)
    )
    found.warnings += _prefixed("/evaluate/maintenance", warnings)
    if evaluate.maintenance and request.analog and not evaluate.maintenance_faults():
        more_warnings = timing_warnings(evaluate.maintenance, evaluate.t_inference)
        found.warnings += _prefixed("/evaluate/maintenance", more_warnings)


def _check_finetune(request: JobCreate, found: Checked) -> None:
    trained = [variant.value for variant in request.trained]
    if trained and request.finetune is None:
        found.faults.append(
            Fault(
                pointer="/finetune",
                code="missing",
                message=f"the variants {', '.join(trained)} need fine-tuning",
                hint='for example {"epochs": 5, "optimizer": {"type": "sgd", "lr": 0.01, "momentum": 0.9}}',
            )
        )
    if request.finetune is not None and not trained:
        message = "finetune is set, but neither hwa nor control is among evaluate.variants: it is not done"
        found.warnings.append({"pointer": "/finetune", "code": "no_effect", "message": message})


def _warn_about_finetune(request: JobCreate, found: Checked) -> None:
    if request.finetune is None or not request.trained:
        return
    on_tiles = found.training_configs if Variant.HWA in request.evaluate.variants else []
    found.warnings += _prefixed("/finetune", finetune_warnings(request.finetune, on_tiles))


def _warn_about_calibration(request: JobCreate, found: Checked) -> None:
    """Say that there are no input ranges to calibrate, where the request says how."""
    configs = [*found.layer_configs, *found.training_configs]
    if request.calibration is None or any(one.pre_post.input_range.enable for one in configs):
        return
    message = "no layer has an input range to calibrate; set rpu_config.pre_post.input_range.enable to true"
    found.warnings.append({"pointer": "/calibration", "code": "no_effect", "message": message})


def _look_up_config(request: JobCreate, jobs: JobRepository, found: Checked) -> None:
    """Let a stored configuration that the request names be the request's own."""
    if not is_reference(request.rpu_config):
        return
    config, faults = meaning_of(request.rpu_config, jobs.stored_config, _CONFIG)
    found.faults += faults
    # Where there is none the job is refused; the defaults let the other checks go on.
    request.use_config(config or InferenceRPUConfig())


def _check_config(request: JobCreate, found: Checked) -> None:
    for fault in unsupported(request.config):
        pointer = pointer_in(request.rpu_config, fault.pointer, _CONFIG)
        found.faults.append(Fault(pointer=pointer, code=fault.code, message=fault.message))
    found.layer_configs = [request.config]
    found.warnings += _prefixed("/rpu_config", warnings_for(request.config))
    times = request.evaluate.t_inference
    found.warnings += _prefixed("", time_warnings(request.config, times))


def _check_training_config(request: JobCreate, found: Checked) -> None:
    """Check what the fine-tuning makes of the job's configuration, without overrides of layers."""
    found.training_configs = [request.config]
    own = None if request.finetune is None else request.finetune.rpu_config
    where = _CONFIG if own is None else _TRAINING
    if own is not None:
        base = InferenceRPUConfig.model_validate(effective(request.config))  # as workers have it
        faults = _faults_of_override(base, own)
        if not faults:
            found.training_configs = [training_config(base, request.finetune)]
            faults = _faults("", training_config_faults(base, found.training_configs[0]))
        found.faults += [one.model_copy(update={"pointer": pointer(where) + one.pointer}) for one in faults]
        if Variant.HWA not in request.evaluate.variants:
            message = "rpu_config acts on training under analog noise, and hwa is not among evaluate.variants"
            found.warnings.append({"pointer": pointer(where), "code": "no_effect", "message": message})
        for name in NOT_TRAINED_WITH:
            if name in own:
                message = f"{name} has no effect on training: nothing is programmed there (see modifier)"
                at = pointer([*where, name])
                found.warnings.append({"pointer": at, "code": "no_effect", "message": message})
    if Variant.HWA in request.trained:
        found.warnings += _prefixed(pointer(where), training_warnings(found.training_configs[0]))


def _check_layers(request: JobCreate, model: Model, found: Checked) -> None:
    layers = [layer["name"] for layer in model.report["layers"] if layer["kind"] == "analog"]
    rules = request.rules
    found.faults += _faults("/layers", rules.unmatched(layers))
    analog = [name for name in layers if not rules.is_digital(name)]
    _check_overrides(request, rules, analog, found)
    wanted = [variant.value for variant in request.analog]
    if wanted and not analog:
        found.faults.append(
            Fault(
                pointer="/layers/digital" if layers else "/model",
                code="no_analog_layer",
                message=f"no layer is left to be analog, so {', '.join(wanted)} would be digital",
            )
        )


def _check_overrides(request: JobCreate, rules: LayerRules, analog: Iterable[str], found: Checked) -> None:
    """Judge every override on its own, then as they come together on the model's layers."""
    judged: dict[str, list[Fault]] = {}
    faults: list[Fault] = []
    for index, override in enumerate(rules.overrides):
        content = json.dumps(override.rpu_config, sort_keys=True)
        if content not in judged:
            judged[content] = _faults_of_override(request.config, override.rpu_config)
        where = f"/layers/overrides/{index}/rpu_config"
        faults += [one.model_copy(update={"pointer": where + one.pointer}) for one in judged[content]]
    found.faults += faults
    if faults:
        return  # what does not fit alone would be reported again
    combinations = rules.matching(analog).values()
    try:
        merged = rules.merged(combinations, request.config)
    except ValidationError as error:
        found.faults += from_pydantic(error.errors(include_url=False), rules.model_dump(), ("layers",))
        return
    for combination in dict.fromkeys(combinations):
        config = merged[combination]
        if len(combination) > 1:
            where = f"/layers/overrides/{combination[-1]}/rpu_config"
            found.faults += _faults(where, unsupported(config))
        if combination:
            found.layer_configs.append(config)
    _check_layers_in_training(rules, combinations, merged, found)
    _warn_about_overrides({one: merged[one] for one in combinations if one}, request.config, found)


def _check_layers_in_training(
    rules: LayerRules,
    combinations: Collection[tuple[int, ...]],
    merged: Mapping[tuple[int, ...], InferenceRPUConfig],
    found: Checked,
) -> None:
    """Judge the layers' overrides on the configuration of training, to which they are applied last."""
    base = found.training_configs[0]
    if base is found.layer_configs[0]:
        found.training_configs = found.layer_configs
        return
    try:
        trained = rules.merged(combinations, base)
    except ValidationError as error:
        found.faults += from_pydantic(error.errors(include_url=False), rules.model_dump(), ("layers",))
        return
    for combination in filter(None, dict.fromkeys(combinations)):
        config = trained[combination]
        faults = [*unsupported(config), *training_config_faults(merged[combination], config)]
        found.faults += _faults(f"/layers/overrides/{combination[-1]}/rpu_config", faults)
        found.training_configs.append(config)


def _warn_about_overrides(
    merged: Mapping[tuple[int, ...], InferenceRPUConfig], base: InferenceRPUConfig, found: Checked
) -> None:
    """Pass on what the overrides bring about, beside what is said of the job's configuration."""
    said = set(warnings_for(base))
    for combination, config in islice(merged.items(), _WARNED_COMBINATIONS):
        new = [warning for warning in warnings_for(config) if warning not in said]
        said.update(new)
        found.warnings += _prefixed(f"/layers/overrides/{combination[-1]}/rpu_config", new)


def _faults_of_override(base: InferenceRPUConfig, override: dict[str, Any]) -> list[Fault]:
    """Return what is wrong with one override of the job's configuration, located in the override."""
    try:
        config = with_overrides(base, override)
    except ValidationError as error:
        return from_pydantic(error.errors(include_url=False), override)
    return _faults("", unsupported(config))


def _check_fit(request: JobCreate, model: Model, dataset_report: dict[str, Any], found: Checked) -> None:
    wanted: Any = None if request.task is None else request.task.value
    fit = check_compatibility(model.report, dataset_report, wanted)
    found.faults += _faults("", fit.faults)
    found.task = fit.task
    if found.task is not None:
        metric = TASKS[found.task].metric
        for number, one in enumerate(request.analyses):
            found.faults += _faults(f"/analyses/{number}", one.metric_faults(metric))
    found.warnings += _prefixed("", fit.warnings)
    if fit.task == "multi_label" and request.finetune is not None and request.finetune.loss is LossType.MSE:
        message = "labels are fine-tuned with loss cross_entropy (binary), since outputs are logits"
        found.faults.append(Fault(pointer="/finetune/loss", code="invalid_value", message=message))
    if request.finetune is not None:
        found.faults += _faults_of_validation(request.finetune, dataset_report["train_size"])
    if fit.task == "regression" and request.finetune is not None:
        found.faults += _faults_of_regression(request.finetune)


def _faults_of_validation(finetune: FinetuneSpec, train_size: int) -> list[Fault]:
    """Return what is wrong with the share of the training samples that validates."""
    used = train_size if finetune.max_samples is None else min(train_size, finetune.max_samples)
    try:
        kept_apart(used, finetune.validation_fraction)
    except ValueError as error:
        return [Fault(pointer="/finetune/validation_fraction", code="empty_split", message=str(error))]
    return []


def _faults_of_regression(finetune: FinetuneSpec) -> list[Fault]:
    """A regression is trained on mse, which is the default there; options of cross entropy are refused."""
    if "loss" in finetune.model_fields_set and finetune.loss is not LossType.MSE:
        message = "a regression is fine-tuned with loss mse"
        return [Fault(pointer="/finetune/loss", code="invalid_value", message=message)]
    given = {**finetune.model_dump(), "loss": LossType.MSE}
    try:
        FinetuneSpec.model_validate(given)
    except ValidationError as error:
        return from_pydantic(error.errors(include_url=False), given, ("finetune",))
    return []


def _faults(prefix: str, faults: Iterable[ConfigFault]) -> list[Fault]:
    return [Fault(pointer=prefix + f.pointer, code=f.code, message=f.message, hint=f.hint) for f in faults]


def _prefixed(prefix: str, warnings: Iterable[Any]) -> list[dict[str, Any]]:
    return [{**asdict(warning), "pointer": prefix + warning.pointer} for warning in warnings]
