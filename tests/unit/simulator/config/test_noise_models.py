from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field, ValidationError

from simulator.config import (
    CustomDriftPCMLikeNoiseModel,
    CustomPairConductanceConverter,
    DeviceState,
    DualPairConductanceConverter,
    HermesNoiseModel,
    InferenceRPUConfig,
    MeasuredNoiseModel,
    NoiseModelConfig,
    NPairConductanceConverter,
    PCMLikeNoiseModel,
    ReRamCMONoiseModel,
    ReRamWan2022NoiseModel,
    SinglePairConductanceConverter,
    effective,
)


def codes_of(build) -> set[str]:
    with pytest.raises(ValidationError) as caught:
        build()
    return {line["type"] for line in caught.value.errors()}


def test_g_max_is_that_of_the_converter_when_there_is_one():
    model = PCMLikeNoiseModel(g_converter=DualPairConductanceConverter(f_lst=[1.0, 3.0], g_max=22.0))
    assert (model.g_max, model.effective_g_max_us) == (None, 22.0)


def test_converter_can_be_assigned_to_a_default_model():
    model = PCMLikeNoiseModel()
    model.g_converter = DualPairConductanceConverter(f_lst=[1.0, 3.0], g_max=22.0)
    assert model.effective_g_max_us == 22.0
    model.g_converter = None
    assert model.effective_g_max_us == 25.0


def test_contradicting_g_max_is_refused():
    converter = SinglePairConductanceConverter(g_max=22.0)
    assert codes_of(lambda: PCMLikeNoiseModel(g_max=25.0, g_converter=converter)) == {"g_max_conflict"}


def test_reference_without_coefficients_is_refused():
    assert codes_of(lambda: PCMLikeNoiseModel(prog_coeff_g_max_reference=20.0)) == {"ignored_argument"}


def test_hermes_defaults_depend_on_the_number_of_devices():
    one, two = HermesNoiseModel(num_devices=1), HermesNoiseModel()
    assert (one.g_max, one.t_0) == (10.35, 200.0)
    assert (two.g_max, two.t_0, two.num_devices) == (20.7, 300.0, 2)


def test_hermes_defaults_follow_an_assignment_unless_given():
    model = HermesNoiseModel(t_0=100.0)
    model.num_devices = 1
    assert (model.g_max, model.t_0) == (10.35, 100.0)


def test_hermes_beyond_its_characterisation_is_refused():
    assert codes_of(lambda: HermesNoiseModel(num_devices=1, g_max=20.0)) == {"not_characterised"}


def test_acceptance_range_is_in_percent():
    assert ReRamCMONoiseModel().acceptance_range == 0.2
    assert ReRamCMONoiseModel(acceptance_range=2).acceptance_range == 2.0
    assert codes_of(lambda: ReRamCMONoiseModel(acceptance_range=2e-2)) == {"unknown_acceptance_range"}


def test_custom_drift_names_every_missing_list():
    with pytest.raises(ValidationError) as caught:
        CustomDriftPCMLikeNoiseModel(custom_drift_model={"g_lst": [0.0, 25.0]})
    assert {line["loc"][-1] for line in caught.value.errors()} == {"nu_mean_lst", "nu_std_lst"}


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ({"g_lst": [0.0, 1.0], "nu_mean_lst": [0.1], "nu_std_lst": [0.1, 0.1]}, "table_length"),
        ({"g_lst": [1.0, 1.0], "nu_mean_lst": [0.1, 0.1], "nu_std_lst": [0.1, 0.1]}, "not_rising"),
        ({"g_lst": [0.0, 1.0], "nu_mean_lst": [0.1, 0.1], "nu_std_lst": [0.1, -0.1]}, "greater_than_equal"),
    ],
)
def test_custom_drift_table_must_fit_together(table, code):
    assert codes_of(lambda: CustomDriftPCMLikeNoiseModel(custom_drift_model=table)) == {code}


def test_times_of_coefficients_may_be_json_keys():
    model = ReRamWan2022NoiseModel.model_validate_json('{"coeff_dic": {"1.0": [0.3, 1.0], "86400": [0.7]}}')
    assert model.coeff_dic == {1.0: (0.3, 1.0), 86400.0: (0.7,)}


def test_device_state_is_the_net_weight_by_default():
    assert PCMLikeNoiseModel().device_state is DeviceState.NET
    assert PCMLikeNoiseModel(device_state="per_device").device_state is DeviceState.PER_DEVICE


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (lambda: SinglePairConductanceConverter(g_max=1.0, g_min=2.0), "empty_range"),
        (lambda: NPairConductanceConverter(f_lst=[]), "too_short"),
        (lambda: NPairConductanceConverter(f_lst=[1.0, 0.0]), "greater_than"),
        (lambda: DualPairConductanceConverter(f_lst=[1.0]), "missing"),
        (lambda: CustomPairConductanceConverter(f_lst=[1.0], g_lst=[[0.0, 1.0]]), "table_count"),
        (
            lambda: CustomPairConductanceConverter(f_lst=[1.0], g_lst=[[0.0, 1.0], [1.0, 0.5, 0.0]]),
            "table_length",
        ),
        (
            lambda: CustomPairConductanceConverter(f_lst=[1.0], g_lst=[[0.0, 9.0, 10.0], [10.0, 0.0, 0.0]]),
            "not_invertible",
        ),
    ],
)
def test_converter_that_cannot_convert_is_refused(build, code):
    assert codes_of(build) == {code}


def test_tables_without_an_inverse_are_accepted_on_demand():
    tables = [[0.0, 9.0, 10.0], [10.0, 0.0, 0.0]]
    assert CustomPairConductanceConverter(f_lst=[1.0], g_lst=tables, invertibility_test=False)


@pytest.mark.parametrize(
    ("curve", "code"),
    [
        ({"type": "table", "g": [0.0, 1.0], "value": [1.0]}, "table_length"),
        ({"type": "table", "g": [1.0, 0.5], "value": [1.0, 1.0]}, "not_rising"),
        ({"type": "table", "g": [0.0, 1.0], "value": [1.0, 1.0], "interpolation": "log_g"}, "not_positive"),
        ({"type": "table", "g": [0.1, 1.0], "value": [1.0, 0.0], "interpolation": "log_log"}, "not_positive"),
        ({"type": "polynomial", "coefficients": [1.0], "minimum": 2.0, "maximum": 1.0}, "empty_range"),
        ({"type": "spline"}, "unknown_type"),
        ({"g": [1.0]}, "type_missing"),
    ],
)
def test_curve_that_cannot_be_read_is_refused(curve, code):
    assert codes_of(lambda: MeasuredNoiseModel(programming=curve)) == {code}


def test_times_of_curves_must_rise():
    curve = {"type": "polynomial", "coefficients": [0.1]}
    q = [{"t": 10.0, "curve": curve}, {"t": 1.0, "curve": curve}]
    assert codes_of(lambda: MeasuredNoiseModel(read={"q": q})) == {"not_rising"}


@pytest.fixture
def own_type():
    before = dict(NoiseModelConfig.members)

    class QuietNoiseModel(NoiseModelConfig):
        """A user's own model."""

        type: Literal["QuietNoiseModel"] = "QuietNoiseModel"
        level_us: float = Field(default=0.1, description="Noise in uS.")

    yield QuietNoiseModel
    NoiseModelConfig.members.clear()
    NoiseModelConfig.members.update(before)


def test_users_own_type_validates_from_json(own_type):
    config = InferenceRPUConfig.model_validate_json(
        '{"noise_model": {"type": "QuietNoiseModel", "level_us": 0.3}}'
    )
    assert isinstance(config.noise_model, own_type)
    assert effective(config)["noise_model"]["level_us"] == 0.3


def test_type_name_that_is_taken_is_refused(own_type):
    with pytest.raises(TypeError, match="is taken by PCMLikeNoiseModel"):

        class Other(NoiseModelConfig):
            type: Literal["PCMLikeNoiseModel"] = "PCMLikeNoiseModel"
