from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from simulator.config import (
    SGD,
    AdamW,
    CalibrationSpec,
    CosineSchedule,
    EvaluateSpec,
    FinetuneSpec,
    LayerRules,
    Variant,
    preset,
)


def faults(build) -> set[tuple[tuple, str]]:
    with pytest.raises(ValidationError) as caught:
        build()
    return {(line["loc"], line["type"]) for line in caught.value.errors()}


def test_finetuning_reads_as_documented():
    spec = FinetuneSpec.model_validate(
        {
            "epochs": 5,
            "optimizer": {"type": "sgd", "lr": 0.05, "momentum": 0.9},
            "scheduler": {"type": "cosine"},
            "loss": "cross_entropy",
        }
    )
    assert spec.optimizer == SGD(lr=0.05, momentum=0.9)
    assert spec.scheduler == CosineSchedule()
    assert spec.batch_size == 64


def test_optimizers_have_their_own_defaults():
    assert FinetuneSpec(epochs=1, optimizer={"type": "adamw"}).optimizer == AdamW(lr=1e-3, weight_decay=0.01)


@pytest.mark.parametrize(
    ("node", "fault"),
    [
        ({}, (("epochs",), "missing")),
        ({"epochs": 0}, (("epochs",), "greater_than_equal")),
        ({"epochs": 1.5}, (("epochs",), "int_type")),
        ({"epochs": 10**6}, (("epochs",), "less_than_equal")),
        ({"epochs": 1, "optimizer": {"type": "sgdm"}}, (("optimizer",), "unknown_type")),
        (
            {"epochs": 1, "optimizer": {"type": "adam", "momentum": 0.9}},
            (("optimizer", "momentum"), "unknown_field"),
        ),
        (
            {"epochs": 1, "optimizer": {"type": "sgd", "nesterov": True}},
            (("optimizer",), "nesterov_without_momentum"),
        ),
        ({"epochs": 1, "optimizer": {"type": "sgd", "lr": math.nan}}, (("optimizer", "lr"), "finite_number")),
        ({"epochs": 1, "scheduler": {"type": "step"}}, (("scheduler", "step_size"), "missing")),
        ({"epochs": 1, "loss": "mse", "label_smoothing": 0.1}, (("label_smoothing",), "ignored_argument")),
    ],
)
def test_impossible_finetuning_is_refused(node, fault):
    assert faults(lambda: FinetuneSpec.model_validate(node)) == {fault}


def test_times_are_put_in_order():
    assert EvaluateSpec(t_inference=[3600, 1, 0, 86400.0]).t_inference == (0.0, 1.0, 3600.0, 86400.0)


def test_digital_and_direct_are_evaluated_by_default():
    assert EvaluateSpec(t_inference=[1.0]).variants == (Variant.DIGITAL, Variant.DIRECT)


@pytest.mark.parametrize(
    ("node", "fault"),
    [
        ({"t_inference": []}, (("t_inference",), "too_short")),
        ({"t_inference": [1.0, 1]}, (("t_inference",), "repeated_value")),
        ({"t_inference": [-1.0]}, (("t_inference", 0), "greater_than_equal")),
        ({"t_inference": [math.inf]}, (("t_inference", 0), "finite_number")),
        ({"t_inference": list(range(1001))}, (("t_inference",), "too_long")),
        ({"t_inference": [1.0], "repeats": 0}, (("repeats", "number"), "greater_than_equal")),
        ({"t_inference": [1.0], "repeats": 10_001}, (("repeats", "number"), "less_than_equal")),
        ({"t_inference": [1.0], "variants": ["hwa", "hwa"]}, (("variants",), "repeated_value")),
        ({"t_inference": [1.0], "variants": ["analog"]}, (("variants", 0), "enum")),
        ({"t_inference": [1.0], "max_samples": 0}, (("max_samples",), "greater_than_equal")),
    ],
)
def test_impossible_evaluation_is_refused(node, fault):
    assert faults(lambda: EvaluateSpec.model_validate(node)) == {fault}


def test_calibration_has_the_documented_defaults():
    spec = CalibrationSpec()
    assert (spec.method, spec.batches, spec.quantile, spec.std_alpha) == ("Max", 10, 0.99995, 3.0)


RULES = LayerRules.model_validate(
    {
        "digital": ["fc", "head.*"],
        "overrides": [
            {"match": "conv*", "rpu_config": {"modifier": {"std_dev": 0.1}}},
            {"match": "conv1", "rpu_config": {"modifier": {"std_dev": 0.2}, "forward": {"out_noise": 0.0}}},
        ],
    }
)


def test_layers_stay_digital_by_pattern():
    assert RULES.is_digital("fc")
    assert RULES.is_digital("head.0")
    assert not RULES.is_digital("conv1")


def test_overrides_apply_in_order():
    base = preset("PCMExamplePreset")
    assert RULES.config_for("conv1", base).modifier.std_dev == 0.2
    assert RULES.config_for("conv2", base).modifier.std_dev == 0.1
    assert RULES.config_for("conv2", base).forward.out_noise == 0.02
    assert RULES.config_for("lstm", base) is base


def test_patterns_that_match_nothing_are_named():
    pointers = [fault.pointer for fault in RULES.unmatched(["fc", "conv2"])]
    assert pointers == ["/digital/1", "/overrides/1/match"]


def test_faulty_override_is_located():
    rules = LayerRules.model_validate(
        {"overrides": [{"match": "*", "rpu_config": {"forward": {"out_noize": 0.1}}}]}
    )
    where = ("layers", "overrides", 0, "rpu_config", "forward", "out_noize")
    assert faults(lambda: rules.config_for("fc", preset("PCMExamplePreset"), ("layers",))) == {
        (where, "unknown_field")
    }
