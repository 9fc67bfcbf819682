"""What a job's numbers depend on: trained networks on less than the cells of their chips."""

from __future__ import annotations

import pytest

from app.db.tables import Dataset, Job, Model
from app.engine.kinds.inference.content_keys import ContentKeys, content_keys
from simulator.config import Variant, effective, resolve
from simulator.config.job import JobSpec

SILENT = {"forward": {"out_noise": 0.0}}
RANGES = {"pre_post": {"input_range": {"enable": True}}}


def keys(config=None, *, finetune=None, evaluate=None, model=None, dataset=None, **changes) -> ContentKeys:
    spec = JobSpec.model_validate(
        {
            "evaluate": {"t_inference": [1], "variants": ["direct", "hwa", "control"], **(evaluate or {})},
            "finetune": {"epochs": 1, **(finetune or {})},
            "task": "classification",
            **changes,
        }
    )
    config = resolve({"preset": "PCMExamplePreset", "overrides": config or {}})
    job = Job(
        dataset_ref="builtin:digits",
        execution={"threads": 1, "loops": "compiled"},
        effective_config=effective(config),
        seed=spec.seed,
    )
    return content_keys(job, spec, model or Model(sha256="0" * 64), dataset)


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluate": {"t_inference": [1, 60], "repeats": 3, "max_samples": 10, "batch_size": 7}},
        {"config": {"noise_model": {"type": "ReRamWan2022NoiseModel"}, "drift_compensation": None}},
        {"finetune": {"rpu_config": {"drift_compensation": None}}},
        {"calibration": {"batches": 3}},
    ],
)
def test_training_does_not_depend_on_what_only_evaluation_does(changes):
    assert keys(**changes).training == keys().training


def test_training_depends_on_its_own_configuration_and_not_on_the_evaluation_s():
    alike = keys({"forward": {"out_noise": 0.3}}, finetune={"rpu_config": SILENT})
    assert alike.training == keys(SILENT).training
    assert alike.training[Variant.HWA] != keys().training[Variant.HWA]
    assert alike.training[Variant.CONTROL] == keys().training[Variant.CONTROL]


def test_cells_depend_on_both_configurations():
    plain, other = keys().results, keys(finetune={"rpu_config": SILENT}).results
    assert [variant for variant in plain if plain[variant] != other[variant]] == [Variant.HWA]
    nothing = keys(finetune={"rpu_config": {"drift_compensation": None}})
    assert nothing.results == plain, "the same training"


IDLE = {"forward": {"nm_decay": 0.4}}  # only AverageAbsMax uses it


def test_training_does_not_depend_on_a_field_without_effect():
    assert keys(IDLE).training == keys().training
    assert keys(IDLE, finetune={"rpu_config": SILENT}).training == keys(SILENT).training
    assert keys(finetune={"rpu_config": IDLE}).results == keys().results


def test_a_field_without_effect_counts_where_layers_may_give_it_one():
    layers = {"overrides": [{"match": "*", "rpu_config": {"forward": {"noise_management": "AverageAbsMax"}}}]}
    assert keys(IDLE, layers=layers).training != keys(layers=layers).training


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"finetune": {"epochs": 2}},
        {"layers": {"digital": ["fc1"]}},
        {"config": {"modifier": {"type": "AddNormal", "std_dev": 0.3}}},
    ],
)
def test_training_depends_on_what_it_uses(changes):
    assert keys(**changes).training[Variant.HWA] != keys().training[Variant.HWA]


def test_with_input_ranges_training_depends_on_their_calibration():
    plain = keys(RANGES).training
    for changes in ({"calibration": {"batches": 3}}, {"evaluate": {"batch_size": 7}}):
        other = keys(RANGES, **changes).training
        assert other[Variant.HWA] != plain[Variant.HWA]
        assert other[Variant.CONTROL] == plain[Variant.CONTROL]


def test_cells_depend_on_what_is_done_to_chips_and_training_does_not():
    rule = {"every": 60, "do": ["compensate"]}
    plain = keys()
    assert keys(evaluate={"maintenance": None}) == plain
    served = [keys(evaluate={"maintenance": rules}) for rules in ([], [rule], [{**rule, "every": 61}])]
    assert all(one.training == plain.training for one in served)
    assert len({one.results[Variant.DIRECT] for one in (plain, *served)}) == 4
    assert all(one.results[Variant.DIGITAL] == plain.results[Variant.DIGITAL] for one in served)


@pytest.mark.parametrize(("kind", "counts"), [("compensate", False), ("refresh_batch_norm", True)])
def test_samples_count_where_some_run_through_the_chip(kind, counts):
    few, many = (
        keys(evaluate={"maintenance": [{"every": 60, "do": [kind], "samples": samples}]}).results
        for samples in (64, 512)
    )
    assert (few[Variant.DIRECT] != many[Variant.DIRECT]) == counts


def test_inputs_in_another_order_than_the_file_s_are_other_numbers():
    def stored(*further):
        model = Model(
            sha256="0" * 64, report={"inputs": [{"name": name} for name in ("ids", "segments", "mask")]}
        )
        inputs = [{"name": name} for name in ("x", *further)]
        dataset = Dataset(sha256="1" * 64, format="npz", options={}, report={"inputs": inputs})
        return keys(model=model, dataset=dataset).results[Variant.DIGITAL]

    assert stored("segments", "mask") == stored("one", "other")
    assert stored("mask", "segments") != stored("segments", "mask")
