from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import pytest
import torch
from pydantic import Field

from simulator.config import (
    CustomDriftPCMLikeNoiseModel,
    DeviceState,
    DualPairConductanceConverter,
    HermesNoiseModel,
    MeasuredNoiseModel,
    NoiseModelConfig,
    PCMLikeNoiseModel,
    ReRamCMONoiseModel,
    ReRamWan2022NoiseModel,
    SinglePairConductanceConverter,
    StateIndependentNoiseModel,
    preset,
)
from simulator.devices import (
    BaseNoiseModel,
    OutsideMeasuredTimesWarning,
    build_converter,
    build_noise_model,
    register_noise_model,
)
from simulator.rng import Purpose, generator

DUAL = DualPairConductanceConverter(f_lst=[1.0, 3.0])
TABLE = {"g_lst": [0.0, 5.0, 25.0], "nu_mean_lst": [0.08, 0.06, 0.04], "nu_std_lst": [0.03, 0.02, 0.005]}
MODELS = {
    "pcm": PCMLikeNoiseModel(g_max=25.0),
    "pcm per device": PCMLikeNoiseModel(g_max=25.0, device_state="per_device"),
    "pcm dual pair": PCMLikeNoiseModel(g_converter=DUAL),
    "custom drift": CustomDriftPCMLikeNoiseModel(custom_drift_model=TABLE),
    "hermes 1": HermesNoiseModel(num_devices=1),
    "hermes 2": HermesNoiseModel(num_devices=2),
    "wan": ReRamWan2022NoiseModel(),
    "cmo": ReRamCMONoiseModel(),
    "cmo per device": ReRamCMONoiseModel(device_state="per_device"),
    "state independent": StateIndependentNoiseModel(),
    "measured": preset("MeasuredPCMPreset").noise_model,
}
every_model = pytest.mark.parametrize("config", MODELS.values(), ids=MODELS)
DAY_S = 86400.0


@every_model
def test_equal_streams_give_equal_weights(config, weights, streams):
    model = build_noise_model(config)
    first, second = (streams.drift(model, streams.program(model, weights), DAY_S) for _ in range(2))
    assert torch.equal(first, second)


@every_model
def test_other_instance_gives_other_weights(config, weights, streams, other_streams):
    model = build_noise_model(config)
    first, second = (s.program(model, weights).weights_OI for s in (streams, other_streams))
    assert not torch.equal(first, second)


@every_model
def test_order_of_reads_does_not_matter(config, weights, streams):
    model = build_noise_model(config)
    programmed = streams.program(model, weights)
    late_first = [streams.drift(model, programmed, t) for t in (DAY_S, 3600.0)]
    early_first = [streams.drift(model, programmed, t) for t in (3600.0, DAY_S)]
    assert torch.equal(late_first[0], early_first[1])
    assert torch.equal(late_first[1], early_first[0])


@every_model
def test_targets_and_programmed_weights_are_left_alone(config, weights, streams):
    model = build_noise_model(config)
    targets = weights.clone()
    programmed = streams.program(model, targets)
    before = programmed.weights_OI.clone()
    streams.drift(model, programmed, DAY_S)
    assert torch.equal(targets, weights)
    assert torch.equal(programmed.weights_OI, before)


@every_model
def test_trainable_targets_are_programmed_without_a_gradient(config, weights, streams):
    model = build_noise_model(config)
    programmed = streams.program(model, torch.nn.Parameter(weights))
    assert not programmed.weights_OI.requires_grad


@every_model
@pytest.mark.parametrize("value", [0.0, 0.25])
def test_constant_weights_stay_finite(config, value, streams):
    model = build_noise_model(config)
    programmed = streams.program(model, torch.full((3, 4), value))
    assert torch.isfinite(programmed.weights_OI).all()
    assert torch.isfinite(streams.drift(model, programmed, DAY_S)).all()


@every_model
@pytest.mark.parametrize("t_s", [-1.0, math.nan, math.inf])
def test_time_that_is_none_is_refused(config, t_s, weights, streams):
    model = build_noise_model(config)
    with pytest.raises(ValueError, match="finite time >= 0"):
        streams.drift(model, streams.program(model, weights), t_s)


@every_model
def test_result_scales_with_the_weights(config, weights, streams):
    model = build_noise_model(config)
    plain = streams.drift(model, streams.program(model, weights), DAY_S)
    doubled = streams.drift(model, streams.program(model, 2 * weights), DAY_S)
    assert torch.allclose(doubled, 2 * plain, rtol=1e-4, atol=1e-5)


QUIET = {
    "pcm": PCMLikeNoiseModel(prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0),
    "hermes": HermesNoiseModel(prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0),
    "wan": ReRamWan2022NoiseModel(noise_scale=0.0),
    "cmo": ReRamCMONoiseModel(prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0),
    "state independent": StateIndependentNoiseModel(
        prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0
    ),
    "measured": MeasuredNoiseModel(),
}


@pytest.mark.parametrize("config", QUIET.values(), ids=QUIET)
def test_without_noise_and_drift_the_weights_stay(config, weights, streams):
    model = build_noise_model(config)
    programmed = streams.program(model, weights)
    assert torch.allclose(programmed.weights_OI, weights, atol=1e-6)
    assert torch.allclose(streams.drift(model, programmed, DAY_S), weights, atol=2e-6)


@pytest.mark.parametrize("t_s", [1.0, 3600.0, 3.15e7])
def test_drift_alone_is_the_power_law(t_s, weights, streams):
    config = StateIndependentNoiseModel(
        prog_noise_scale=0.0, read_noise_scale=0.0, drift_nu_mean=0.06, drift_nu_std=0.0, t_0=20.0
    )
    model = build_noise_model(config)
    drifted = streams.drift(model, streams.program(model, weights), t_s)
    assert torch.allclose(drifted, weights * ((t_s + 20.0) / 20.0) ** -0.06, rtol=1e-5)


def test_programming_noise_is_the_published_polynomial(streams):
    model = build_noise_model(PCMLikeNoiseModel(g_max=25.0))
    g_target_us = torch.full((1, 200_000), 12.5)
    spread_us = model.program_conductance(g_target_us, generator=streams(Purpose.PROGRAMMING)).std()
    assert float(spread_us) == pytest.approx(0.26348 + 1.9650 * 0.5 - 1.1731 * 0.25, rel=0.01)


@pytest.mark.parametrize("model_class", [PCMLikeNoiseModel, HermesNoiseModel])
def test_own_coefficients_refer_to_their_own_g_max(model_class, streams):
    """The reference cannot do this: its constructor forgets the argument (quirk 42)."""
    config = model_class(g_max=10.0, prog_coeff=[0.1, 0.2], prog_coeff_g_max_reference=20.0)
    model = build_noise_model(config)
    g_target_us = torch.full((1, 200_000), 10.0)
    spread_us = model.program_conductance(g_target_us, generator=streams(Purpose.PROGRAMMING)).std()
    assert float(spread_us) == pytest.approx((0.1 + 0.2) * 10.0 / 20.0, rel=0.01)


def test_read_noise_is_the_published_law(streams):
    config = PCMLikeNoiseModel(g_max=25.0, drift_scale=0.0)
    model = build_noise_model(config)
    g_us = torch.full((1, 200_000), 20.0)
    read_us = model.drift_conductance(g_us, torch.zeros_like(g_us), 3600.0, generator=streams(Purpose.READ))
    growth = math.sqrt(math.log((3620.0 + 250e-9) / (2 * 250e-9)))
    assert float(read_us.std()) == pytest.approx(20.0 * 0.0088 / 0.8**0.65 * growth, rel=0.01)


def test_read_noise_is_limited_for_small_conductances():
    model = build_noise_model(PCMLikeNoiseModel(g_max=25.0))
    assert model.relative_read_noise(torch.tensor([0.0, 1e-6])).tolist() == pytest.approx([0.2, 0.2])


def test_programmed_weights_at_time_zero_without_a_read(weights, streams):
    model = build_noise_model(PCMLikeNoiseModel())
    noisy = model.apply_noise(
        weights,
        0.0,
        programming=streams(Purpose.PROGRAMMING),
        drift=streams(Purpose.DRIFT),
        read=streams(Purpose.READ),
    )
    assert torch.equal(noisy, streams.program(model, weights).weights_OI)


def test_exponents_belong_to_the_programming(weights, streams):
    config = PCMLikeNoiseModel(read_noise_scale=0.0)
    model = build_noise_model(config)
    programmed = streams.program(model, weights)
    at_zero, early, late = (streams.drift(model, programmed, t) for t in (0.0, 3600.0, 3.15e7))
    kept = weights.abs() > 0.1
    nu_early = -torch.log(early / at_zero)[kept] / math.log1p(3600.0 / 20.0)
    nu_late = -torch.log(late / at_zero)[kept] / math.log1p(3.15e7 / 20.0)
    assert torch.allclose(nu_early, nu_late, atol=1e-4)


class TestDeviceState:
    def test_both_states_are_programmed_alike(self, weights, streams):
        net, per_device = (
            streams.program(build_noise_model(PCMLikeNoiseModel(device_state=state)), weights).weights_OI
            for state in ("net", "per_device")
        )
        assert torch.equal(net, per_device)

    def test_devices_that_cancel_have_read_noise_only_per_device(self, streams):
        """The net state puts a weight of nearly zero on two empty devices, whatever they were programmed to."""
        config = PCMLikeNoiseModel(prog_noise_scale=40.0, drift_scale=0.0)
        noise = {}
        for state in ("net", "per_device"):
            model = build_noise_model(config.model_copy(update={"device_state": DeviceState(state)}))
            programmed = streams.program(model, torch.linspace(0.0, 1.0, 100_000).reshape(100, 1000))
            cancelled = programmed.weights_OI.abs() < 0.01
            read = streams.drift(model, programmed, DAY_S)
            noise[state] = float((read - programmed.weights_OI)[cancelled].std())
        assert noise["per_device"] > 3 * noise["net"]

    def test_per_device_keeps_conductances_beyond_g_max(self, streams):
        config = PCMLikeNoiseModel(
            prog_noise_scale=1.0, read_noise_scale=0.0, drift_scale=0.0, device_state="per_device"
        )
        model = build_noise_model(config)
        programmed = streams.program(model, torch.ones(1, 1000))
        assert max(float(g.max()) for g in programmed.conductances_us) > 25.0
        assert torch.allclose(streams.drift(model, programmed, DAY_S), programmed.weights_OI, atol=1e-6)

    def test_net_state_keeps_no_conductances(self, weights, streams):
        programmed = streams.program(build_noise_model(PCMLikeNoiseModel()), weights)
        assert programmed.conductances_us is None
        assert len(programmed.states) == 2


class TestReRamWan:
    G_US = torch.full((1, 200_000), 20.0)

    def sigma(self, t_s: float, streams, **arguments) -> float:
        model = build_noise_model(ReRamWan2022NoiseModel(g_max=25.0, **arguments))
        return float(
            model.drift_conductance(self.G_US, None, t_s, generator=streams(Purpose.READ, t_s)).std()
        )

    @staticmethod
    def published(coefficients, g_relative: float) -> float:
        return sum(c * g_relative**i for i, c in enumerate(coefficients))

    def test_polynomial_refers_to_40_us(self, streams):
        """The reference applies it to 25 uS by an accident (quirk 41)."""
        one_second = (0.348, 16.030, -43.853, 45.393, -16.815)
        expected = self.published(one_second, 20 / 25) * 25 / 40
        assert self.sigma(1.0, streams) == pytest.approx(expected, rel=0.01)

    def test_targets_keep_their_own_scale(self, weights, streams):
        """The reference inflates drifted weights by the largest programmed one (quirk 40)."""
        model = build_noise_model(ReRamWan2022NoiseModel(noise_scale=1e-6))
        programmed = streams.program(model, weights)
        programmed.weights_OI.mul_(3)
        assert torch.allclose(streams.drift(model, programmed, DAY_S), weights, atol=1e-4)

    def test_between_measured_times_the_noise_is_linear_in_ln_t(self, streams):
        middle = math.sqrt(1.0 * DAY_S)
        mean = (self.sigma(1.0, streams) + self.sigma(DAY_S, streams)) / 2
        assert self.sigma(middle, streams) == pytest.approx(mean, rel=0.01)

    @pytest.mark.parametrize(("t_s", "stands_in"), [(0.0, 1.0), (3.15e7, 2 * DAY_S)])
    def test_outside_the_noise_is_held_with_a_warning(self, t_s, stands_in, streams):
        with pytest.warns(OutsideMeasuredTimesWarning, match="measured from 1 s to 172800 s"):
            held = self.sigma(t_s, streams)
        assert held == pytest.approx(self.sigma(stands_in, streams), rel=0.01)

    def test_noise_is_drawn_anew_at_every_time(self, weights, streams):
        model = build_noise_model(ReRamWan2022NoiseModel())
        programmed = streams.program(model, weights)
        first = streams.drift(model, programmed, DAY_S) - weights
        second = streams.drift(model, programmed, 2 * DAY_S) - weights
        assert abs(float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])) < 0.1

    def test_own_coefficients_refer_to_g_max(self, streams):
        sigma = self.sigma(5.0, streams, coeff_dic={1.0: [0.5], 10.0: [0.5, 0.0]})
        assert sigma == pytest.approx(0.5, rel=0.01)


class TestReRamCMO:
    @pytest.mark.parametrize("acceptance_range", [0.2, 2.0])
    def test_programming_noise_is_that_of_the_acceptance_range(self, acceptance_range, streams):
        c0, c1 = {0.2: (0.00081107, 0.00106879), 2.0: (0.0112185391, 0.01129027418)}[acceptance_range]
        model = build_noise_model(ReRamCMONoiseModel(acceptance_range=acceptance_range))
        g_us = torch.full((1, 200_000), 50.0)
        reached = model.program_conductance(g_us, generator=streams(Purpose.PROGRAMMING))
        assert float(reached.std()) == pytest.approx(c0 + 50.0 * c1, rel=0.01)

    def test_nothing_happens_at_time_zero(self, weights, streams):
        model = build_noise_model(ReRamCMONoiseModel(device_state="per_device"))
        programmed = streams.program(model, weights)
        assert torch.allclose(streams.drift(model, programmed, 0.0), programmed.weights_OI, atol=1e-6)

    def test_relaxation_follows_ln_t(self, streams):
        model = build_noise_model(ReRamCMONoiseModel(read_noise_scale=0.0))
        g_us = torch.full((1, 200_000), 50.0)
        read = model.drift_conductance(g_us, None, DAY_S, generator=streams(Purpose.READ))
        ln_t = math.log(DAY_S)
        assert float(read.mean()) - 50.0 == pytest.approx(-0.08900206 * ln_t, abs=0.01)
        assert float(read.std()) == pytest.approx(0.04201137 * ln_t + 0.41183342, rel=0.01)

    def test_conductances_below_g_min_stay_finite_and_are_clipped(self, streams):
        """The reference takes the logarithm of a negative conductance: NaN (quirk 44)."""
        model = build_noise_model(ReRamCMONoiseModel(drift_scale=30.0))
        g_us = torch.full((1, 100_000), 9.0)
        read = model.drift_conductance(g_us, None, 2e8, generator=streams(Purpose.READ))
        assert float(read.min()) == 9.0
        assert torch.isfinite(read).all()

    @pytest.mark.parametrize("t_s", [1e-300, 1e-9, 0.5])
    def test_times_before_one_second_stay_finite(self, t_s, weights, streams):
        model = build_noise_model(ReRamCMONoiseModel())
        assert torch.isfinite(streams.drift(model, streams.program(model, weights), t_s)).all()


class TestCustomDrift:
    def test_moments_are_interpolated_and_held(self):
        model = build_noise_model(CustomDriftPCMLikeNoiseModel(custom_drift_model=TABLE))
        mean, spread = model.nu_moments(torch.tensor([[0.0, 2.5, 15.0, 25.0, 40.0]]))
        assert mean.flatten().tolist() == pytest.approx([0.08, 0.07, 0.05, 0.04, 0.04])
        assert spread.flatten().tolist() == pytest.approx([0.03, 0.025, 0.0125, 0.005, 0.005])

    def test_single_entry_is_a_constant(self):
        table = {"g_lst": [5.0], "nu_mean_lst": [0.06], "nu_std_lst": [0.01]}
        model = build_noise_model(CustomDriftPCMLikeNoiseModel(custom_drift_model=table))
        assert model.nu_moments(torch.tensor([[0.0, 25.0]]))[0].tolist() == [[pytest.approx(0.06)] * 2]


LONE = {
    "pcm": PCMLikeNoiseModel(g_max=25.0),
    "hermes": HermesNoiseModel(num_devices=2),
    "state independent": StateIndependentNoiseModel(),
    "measured": preset("MeasuredPCMPreset").noise_model,
}


@pytest.mark.parametrize("config", LONE.values(), ids=LONE)
def test_looking_at_the_conducting_device_alone_leaves_the_distribution_as_it_is(config, streams):
    """Of a pair in the net state one device is at zero: with both drawn and read, the moments are the same."""
    model = build_noise_model(config)
    columns = torch.tensor([-1.0, -0.3, -0.02, 0.0, 0.1, 0.6]).expand(40_000, -1)
    programmed = streams.program(model, columns)
    assert programmed.lone is not None
    alone = streams.drift(model, programmed, DAY_S)
    both = streams.drift(model, replace(programmed, lone=None), DAY_S)
    assert not torch.equal(alone, both)
    spread = both.std(dim=0)
    assert torch.all((alone.mean(dim=0) - both.mean(dim=0)).abs() <= 5 * spread * (2 / 40_000) ** 0.5 + 1e-9)
    torch.testing.assert_close(alone.std(dim=0), spread, rtol=0.03, atol=1e-6)


def test_without_read_noise_the_conducting_device_alone_gives_the_same_weights(weights, streams):
    model = build_noise_model(PCMLikeNoiseModel(g_max=25.0, read_noise_scale=0.0))
    programmed = streams.program(model, weights)
    both = streams.drift(model, replace(programmed, lone=None), DAY_S)
    torch.testing.assert_close(streams.drift(model, programmed, DAY_S), both, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("changes", [{"device_state": "per_device"}, {"g_converter": DUAL}])
def test_cells_whose_devices_all_conduct_have_them_all_looked_at(changes, weights, streams):
    model = build_noise_model(PCMLikeNoiseModel(**changes))
    assert streams.program(model, weights).lone is None


class QuietNoiseModel(NoiseModelConfig):
    """A user's own model: constant programming noise, nothing else."""

    type: Literal["TestsQuietNoiseModel"] = "TestsQuietNoiseModel"
    sigma_us: float = Field(default=0.1, description="Programming noise in uS.")


@pytest.fixture
def own_model():
    @register_noise_model(QuietNoiseModel)
    class QuietNoise(BaseNoiseModel):
        def __init__(self, config: QuietNoiseModel) -> None:
            super().__init__(config, build_converter(SinglePairConductanceConverter(g_max=25.0)))
            self.sigma_us = config.sigma_us

        def program_conductance(self, g_target_us, *, generator):
            return g_target_us + self.sigma_us * torch.randn(g_target_us.shape, generator=generator)

        def drift_conductance(self, g_us, state, t_inference_s, *, generator):
            return g_us

    return QuietNoise


def test_users_own_model_is_built_from_its_configuration(own_model, streams):
    model = build_noise_model(
        NoiseModelConfig.members["TestsQuietNoiseModel"].model_validate({"sigma_us": 0.5})
    )
    assert isinstance(model, own_model)
    programmed = streams.program(model, torch.ones(1, 100_000))
    assert float(programmed.weights_OI.std()) == pytest.approx(0.5 * math.sqrt(2) / 25.0, rel=0.02)


def test_configuration_without_physics_is_refused():
    class Lost(NoiseModelConfig):
        type: Literal["TestsLostNoiseModel"] = "TestsLostNoiseModel"

    try:
        with pytest.raises(TypeError, match=r"no noise model is registered for Lost .*PCMLikeNoiseModel"):
            build_noise_model(Lost())
    finally:
        del NoiseModelConfig.members["TestsLostNoiseModel"]


def test_generators_of_another_seed_are_independent(weights):
    model = build_noise_model(PCMLikeNoiseModel())
    noise = [
        model.program(
            weights, programming=generator(seed, Purpose.PROGRAMMING), drift=generator(seed, Purpose.DRIFT)
        ).weights_OI
        - weights
        for seed in (1, 2)
    ]
    correlation = torch.corrcoef(torch.stack([n.flatten() for n in noise]))[0, 1]
    assert abs(float(correlation)) < 0.1
