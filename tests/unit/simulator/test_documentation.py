"""The simulator's page says what is there, and its examples run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch

from simulator.config import resolve, warnings_for
from simulator.config.presets import PRESETS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "simulator.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_every_preset_is_listed():
    assert set(re.findall(r"`(\w+Preset)`", PAGE)) == set(PRESETS)


def test_the_examples_run():
    names: dict[str, object] = {"images": torch.zeros(2, 1, 28, 28)}
    for code in blocks("python"):
        exec(code, names)  # noqa: S102 - our own page
    assert names["t_inference_s"] == 604800.0


def test_the_measured_device_is_a_configuration_without_warnings():
    (text,) = blocks("json")
    config = resolve({"preset": "PCMExamplePreset", "overrides": json.loads(text)})
    assert config.noise_model.type == "MeasuredNoiseModel"
    assert warnings_for(config) == []
