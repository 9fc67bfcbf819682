"""Section H: accuracy over time of two small networks on the digits, programmed as they are or fine-tuned."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from simulator.config import InferenceRPUConfig
from simulator.nn import (
    analog_layers,
    calibrate_input_ranges,
    convert_to_analog,
    convert_to_digital,
    drift_analog_weights,
    noise_context,
    post_update_step,
    program_analog_weights,
)
from simulator.rng import Purpose, generator
from tests.golden.common import Arrays, Case, Verdict, excess, judge, rpu_config, worst

LOGIT_TOLERANCE = 1e-4
SIGMAS = 4
ACCURACY_SLACK = 0.003
STD_FACTOR = 1.7
SMALLEST_STD = 0.002  # about one test image: below, the ratio of deviations is noise
HWA_SLACK = 0.01
RANGE_RELATIVE = 0.01
OWN_REPEATS = 80
DECIDING_REPEATS = 320  # a few bad chips make a spread uncertain: where 80 disagree, so many decide
CALIBRATION_BATCH, CALIBRATION_SAMPLES = 100, 2000


@cache
def _digits(directory: Path) -> dict[str, np.ndarray]:
    with np.load(directory / "H_digits.npz", allow_pickle=False) as npz:
        return {key: npz[key] for key in npz.files}


def _images(directory: Path, net: str, which: str) -> tuple[Tensor, Tensor]:
    digits = _digits(directory)
    index = digits[f"{which}_idx"]
    x = torch.tensor(digits["X"][index], dtype=torch.float32) / 16
    return x if net == "mlp" else x.reshape(-1, 1, 8, 8), torch.tensor(digits["y"][index]).long()


def _network(directory: Path, net: str) -> nn.Module:
    """The recorded network, digital."""
    if net == "mlp":
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    else:
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
        )  # fmt: skip
    with np.load(directory / f"H_{net}_weights.npz", allow_pickle=False) as npz:
        model.load_state_dict({key: torch.tensor(npz[key]) for key in npz.files})
    return model.eval()


def _accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.inference_mode():
        return float((model(x).argmax(dim=1) == y).double().mean())


def check_digital(case: Case, arrays: Arrays) -> Verdict:
    """The network itself."""
    expected, net = arrays.resolve(case["expected"]), case["inputs"]["net"]
    model, (x, y) = _network(arrays.directory, net), _images(arrays.directory, net, "test")
    with torch.inference_mode():
        logits = model(x[:8]).numpy()
    return worst(
        judge(excess(logits, expected["logits_first8"], LOGIT_TOLERANCE), 1.0, detail="logits"),
        judge(abs(_accuracy(model, x, y) - expected["test_accuracy"]), 1e-6, detail="accuracy"),
    )


def _accuracies(model: nn.Module, x: Tensor, y: Tensor, times: list[float], repeats: int) -> np.ndarray:
    """Return the accuracies `[repeats, times]` of as many chips."""
    result = np.zeros((repeats, len(times)))
    for repeat in range(repeats):
        program_analog_weights(model, repeat=repeat)
        for index, t in enumerate(times):
            drift_analog_weights(model, t)
            result[repeat, index] = _accuracy(model, x, y)
    return result


def check_drift(case: Case, arrays: Arrays) -> Verdict:
    """Accuracy over time of the network as it is."""
    inputs, expected = arrays.resolve(case["inputs"]), arrays.resolve(case["expected"])
    directory, net = arrays.directory, inputs["net"]
    digital, (x, y) = _network(directory, net), _images(directory, net, "test")
    model = convert_to_analog(digital, rpu_config(case["config"]), seed=5).eval()
    verdicts = [judge(abs(_accuracy(digital, x, y) - expected["digital"]), 1e-6, detail="digital")]
    if inputs["calibration"] is not None:
        method, quantile = inputs["calibration"]
        images, _ = _images(directory, net, "train")
        calibrate_input_ranges(
            model,
            images.split(CALIBRATION_BATCH),
            method=method,
            quantile=quantile,
            max_samples=CALIBRATION_SAMPLES,
        )
        ours = [float(tile.input_range.detach()) for _, layer in analog_layers(model) for tile in layer.tiles]
        recorded = np.asarray(expected["input_ranges"], np.float64).reshape(-1)
        slack = RANGE_RELATIVE if method == "Max" else 5 * RANGE_RELATIVE  # a sample decides on outliers
        verdicts.append(judge(excess(ours, recorded, slack * recorded), 1.0, detail="input ranges"))
    recorded = np.asarray(expected["acc"], np.float64)
    compared = _compare(_accuracies(model, x, y, inputs["times"], OWN_REPEATS), recorded)
    if not all(verdict.ok for verdict in compared):
        compared = _compare(_accuracies(model, x, y, inputs["times"], DECIDING_REPEATS), recorded)
    return worst(*verdicts, *compared)


def _compare(ours: np.ndarray, recorded: np.ndarray) -> list[Verdict]:
    own_std, std = ours.std(axis=0, ddof=1), recorded.std(axis=0, ddof=1)
    allowed = SIGMAS * np.sqrt(std**2 / len(recorded) + own_std**2 / len(ours)) + ACCURACY_SLACK
    ratio = np.log(np.maximum(own_std, SMALLEST_STD)) - np.log(np.maximum(std, SMALLEST_STD))
    error = np.hypot(_error_of_log_std(ours), _error_of_log_std(recorded))
    factor = np.maximum(np.log(STD_FACTOR), SIGMAS * error)
    return [
        judge(excess(ours.mean(axis=0), recorded.mean(axis=0), allowed), 1.0, detail="mean accuracy"),
        judge(excess(ratio, np.zeros_like(ratio), factor), 1.0, detail="ratio of deviations"),
    ]


def _error_of_log_std(values: np.ndarray) -> np.ndarray:
    """Standard error of ln(std), from the kurtosis: a few bad chips make accuracies heavy-tailed."""
    centred = values - values.mean(axis=0)
    variance = np.maximum((centred**2).mean(axis=0), 1e-12)
    kurtosis = (centred**4).mean(axis=0) / variance**2
    return np.sqrt(np.maximum(kurtosis - 1, 0) / (4 * len(values)))


def check_hwa(case: Case, arrays: Arrays) -> Verdict:
    """Accuracy over time after hardware-aware training: a band around the recorded training seeds."""
    inputs, expected = arrays.resolve(case["inputs"]), arrays.resolve(case["expected"])
    directory, net = arrays.directory, inputs["net"]
    x, y = _images(directory, net, "test")
    config = rpu_config(case["config"])
    accuracies = []
    options = json.dumps({key: inputs[key] for key in ("train_config", "epochs", "lr", "batch")})
    for seed in range(inputs["training_seeds"]):
        digital = _trained(directory, net, options, seed)
        model = convert_to_analog(digital, config, seed=seed).eval()
        accuracies.append(_accuracies(model, x, y, inputs["times"], inputs["repeats"] // 2))
    ours = np.mean([values.mean(axis=0) for values in accuracies], axis=0)
    seed_means, std = np.asarray(expected["seed_means"]), np.asarray(expected["std_over_repeats"])
    std = std if std.ndim == 1 else std.mean(axis=0)
    band = SIGMAS * seed_means.std(axis=0, ddof=1) / np.sqrt(len(seed_means))
    band = band + SIGMAS * std / np.sqrt(inputs["repeats"] * len(seed_means)) + HWA_SLACK
    return judge(excess(ours, seed_means.mean(axis=0), band), 1.0, detail="mean accuracy")


@cache
def _trained(directory: Path, net: str, options: str, seed: int) -> nn.Module:
    """Fine-tune hardware-aware with plain SGD; return the digital network."""
    settings = json.loads(options)
    config: InferenceRPUConfig = rpu_config(settings["train_config"])
    model = convert_to_analog(_network(directory, net), config, seed=seed).train()
    context = noise_context(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=settings["lr"])
    x, y = _images(directory, net, "train")
    for epoch in range(settings["epochs"]):
        order = torch.randperm(len(x), generator=generator(seed, Purpose.SAMPLE_ORDER, epoch))
        for batch, index in enumerate(order.split(settings["batch"])):
            context.move(epoch=epoch, batch=batch)
            optimizer.zero_grad()
            functional.cross_entropy(model(x[index]), y[index]).backward()
            optimizer.step()
            post_update_step(model)
    return convert_to_digital(model).eval()


CHECKS: dict[str, Callable[[Case, Arrays], Verdict]] = {
    "digital_reference": check_digital,
    "drift_accuracy": check_drift,
    "hwa_drift_accuracy": check_hwa,
}
