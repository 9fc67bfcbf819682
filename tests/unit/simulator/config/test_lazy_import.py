from __future__ import annotations

import subprocess
import sys

import pytest


def _modules_after(statement: str) -> set[str]:
    code = (
        f"{statement}\nimport sys; print(' '.join(m for m in ('torch', 'numpy', 'onnx') if m in sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(result.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import simulator",
        "import simulator.config",
        "from simulator import InferenceRPUConfig, PCMLikeNoiseModel; InferenceRPUConfig()",
        "from simulator.config import json_schema, resolve; json_schema(); resolve({'preset': 'PCMExamplePreset'})",
    ],
)
def test_configuration_imports_neither_torch_nor_numpy_nor_onnx(statement):
    assert _modules_after(statement) == set()


def test_names_of_the_library_are_the_configurations_own():
    import simulator
    import simulator.config

    assert simulator.InferenceRPUConfig is simulator.config.InferenceRPUConfig
    assert "AnalogLinear" in dir(simulator)


def test_every_device_that_a_configuration_can_name_is_exported_by_the_library():
    import simulator
    from simulator.config import ConverterConfig, DriftCompensationConfig, NoiseModelConfig

    families = (NoiseModelConfig, ConverterConfig, DriftCompensationConfig)
    members = [member for family in families for member in family.members.values()]
    ours = {member.__name__ for member in members if member.__module__.startswith("simulator.")}
    assert len(ours) > 10
    assert ours <= set(simulator.__all__)


def test_unknown_name_of_the_library_is_an_attribute_error():
    import simulator

    with pytest.raises(AttributeError, match="AnalogLiner"):
        _ = simulator.AnalogLiner
