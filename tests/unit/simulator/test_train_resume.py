"""A run that is interrupted after any epoch ends as one that never was, whatever the options."""

from __future__ import annotations

import pytest

from simulator.config import resolve
from simulator.config.tasks import Task
from tests.unit.simulator.learning import (
    Network,
    Recorder,
    analog,
    model_in,
    noisy,
    regression,
    same_bits,
    spec_of,
    train,
)

EPOCHS = 4
HWA_PRESET = resolve({
    "preset": "StandardHWATrainingPreset",
    "overrides": {
        "modifier": {"type": "AddNormal", "std_dev": 0.1},
        "pre_post": {"input_range": {"init_from_data": 7}},
    },
})  # fmt: skip
OPTIONS = {
    "plain": {},
    "sgd with momentum": {"optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.9}},
    "adam": {"optimizer": {"type": "adam", "lr": 0.01}},
    "adamw": {"optimizer": {"type": "adamw", "lr": 0.01}},
    "cosine": {"scheduler": {"type": "cosine"}},
    "step": {"scheduler": {"type": "step", "step_size": 2}},
    "exponential": {"scheduler": {"type": "exponential"}},
    "label smoothing": {"label_smoothing": 0.1},
    "gradient clipping": {"grad_clip_norm": 0.1},
    "mse": {"loss": "mse"},
    "distillation": {"distillation": {"weight": 0.7, "temperature": 3.0}},
    "noise ramp": {"noise_ramp_epochs": 2},
    "validation": {"validation_fraction": 0.2},
    "early stopping": {
        "validation_fraction": 0.2,
        "early_stopping": {"patience": 1, "min_delta": 0.02},
        "optimizer": {"type": "sgd", "lr": 0.3, "momentum": 0.9},
    },
    "everything": {
        "optimizer": {"type": "adam", "lr": 0.02},
        "scheduler": {"type": "cosine"},
        "label_smoothing": 0.1,
        "grad_clip_norm": 1.0,
        "distillation": {"weight": 0.3},
        "noise_ramp_epochs": 2,
        "validation_fraction": 0.25,
        "early_stopping": {"patience": 2},
    },
}
MODELS = {
    "learned ranges": lambda: analog(HWA_PRESET),
    "running scales": lambda: analog(noisy(forward={"noise_management": "AverageAbsMax"})),
    "programming modifier": lambda: analog(noisy(modifier={"type": "PCMNoise", "std_dev": 1.0})),
    "digital": Network,
}


def assert_resumes_everywhere(build, spec, **options) -> Recorder:
    """Interrupt after each epoch; compare the end, all later reports and all later checkpoints."""
    whole = Recorder()
    ended = train(build(), spec, whole, **options).state_dict()
    for epoch in range(len(whole.reports)):
        first = Recorder(stop_after=epoch)
        with pytest.raises(KeyboardInterrupt):
            train(build(), spec, first, **options)
        second = Recorder()
        resumed = train(build(), spec, second, resume=first.checkpoints[-1], **options)
        assert same_bits(resumed.state_dict(), ended), f"interrupted after epoch {epoch}"
        assert first.figures() + second.figures() == whole.figures()
        assert all(
            same_bits(model_in(one), model_in(other))
            for one, other in zip(second.checkpoints, whole.checkpoints[epoch + 1 :], strict=True)
        )
    assert same_bits(model_in(whole.checkpoints[-1]), ended), "the last checkpoint is the result"
    return whole


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_resumed_run_equals_an_undisturbed_one(options):
    assert_resumes_everywhere(analog, spec_of(epochs=EPOCHS, **options))


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_state_of_the_model_is_resumed(build):
    options = {"validation_fraction": 0.2, "early_stopping": {"patience": 3}}
    assert_resumes_everywhere(build, spec_of(epochs=EPOCHS, **options))


def test_a_regression_is_resumed():
    options = {"loss": "mse", "validation_fraction": 0.2, "early_stopping": {"patience": 2}}
    assert_resumes_everywhere(
        lambda: analog(outputs=2),
        spec_of(epochs=EPOCHS, **options),
        samples=regression(),
        task=Task.REGRESSION,
    )


def test_a_run_that_stopped_early_is_not_trained_further():
    whole = assert_resumes_everywhere(analog, spec_of(epochs=12, **OPTIONS["early stopping"]))
    assert len(whole.reports) < 12
    again = Recorder()
    train(analog(), spec_of(epochs=12, **OPTIONS["early stopping"]), again, resume=whole.checkpoints[-1])
    assert again.reports == []
