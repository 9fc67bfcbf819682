"""`NUMBERS` names what the simulator computes: a change of numbers without raising it fails here.

On kinds of machines that are on record, small jobs are compared bit for bit. On others sums may be added in another
order: the losses differ by 1e-7, and where an ADC rounds a value to the other side, one of them by 2.5e-3 (seen with
torch's kernels for older processors). No change of the physics or of the random streams hides under that. After a
change that is meant, raise `NUMBERS` and renew the record: `python -m tests.unit.simulator.test_numerics`.
"""

from __future__ import annotations

import hashlib
import json
import platform
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from llvmlite import binding
from torch import nn

from simulator import rng
from simulator.config import FinetuneSpec, preset
from simulator.config.presets import PRESETS as KNOWN
from simulator.config.tasks import Task
from simulator.evaluate import Samples, evaluate_cells
from simulator.nn import calibrate_input_ranges, convert_to_analog
from simulator.numerics import NUMBERS
from simulator.tile import fast
from simulator.train import finetune

RECORD = Path(__file__).parent / "numerics.json"
TOLERANCE = 1e-5
FLIP = 2e-2  # what a value that is rounded to the other side may do to a loss
PRESETS = sorted(KNOWN)


def small_job(name: str) -> tuple[list[float], str]:
    """Calibrate, train for an epoch, program two chips, evaluate at two times.

    Returns:
        The losses that were found, and the sha256 of those and of the trained weights.
    """
    with rng.as_default(3, rng.Purpose.INITIAL_WEIGHTS):
        network = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(4 * 36, 12),
            nn.ReLU(),
            nn.Linear(12, 3),
        )
        with torch.no_grad():  # logits of some size, whose losses tell what the hardware does to them
            network[-1].weight.mul_(20)
        targets = torch.arange(48) % 3
        x = torch.randn(48, 2, 6, 6) + targets.reshape(-1, 1, 1, 1)
    samples = Samples((x,), targets)
    config = preset(name)
    config.modifier.type, config.modifier.std_dev = "AddNormal", 0.05
    model = convert_to_analog(network, config, seed=11, channels_last=True)
    if config.pre_post.input_range.enable:
        calibrate_input_ranges(model, [x[:16], x[16:32]], seed=11)
    losses: list[float] = []
    spec = FinetuneSpec.model_validate(
        {"epochs": 1, "batch_size": 16, "optimizer": {"type": "sgd", "lr": 0.01}}
    )
    finetune(
        model, samples, spec, task=Task.CLASSIFICATION, seed=11,
        on_epoch=lambda report, _: losses.append(report.train_loss),
    )  # fmt: skip
    evaluate_cells(
        model, samples, task=Task.CLASSIFICATION, repeats=[0, 1], times_s=[1.0, 86400.0], batch_size=24,
        on_cell=lambda _repeat, _t, score: losses.append(score.loss_sum),
    )  # fmt: skip
    digest = hashlib.sha256(repr(losses).encode())
    for parameter in model.parameters():
        digest.update(parameter.detach().contiguous().numpy().tobytes())
    return losses, digest.hexdigest()


def kind() -> str:
    """What decides the order in which this machine adds."""
    loops = "compiled" if fast.available() else "plain"
    capability = torch.backends.cpu.get_cpu_capability()
    versions = f"torch {torch.__version__} numba {version('numba')}"
    return f"{_processor()} {capability} {loops} {versions}"


def _processor() -> str:
    """Return the processor's family, and its model where the system tells it."""
    family, model = f"{platform.machine()} {binding.get_host_cpu_name()}", ""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
    return f"{family} {model}".strip()


def computed(name: str) -> tuple[list[float], str]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return small_job(name)
    finally:
        torch.set_num_threads(threads)


def record() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def test_the_record_is_of_these_numbers() -> None:
    assert record()["numbers"] == NUMBERS, "renew the record: python -m tests.unit.simulator.test_numerics"
    assert sorted(record()["presets"]) == PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_equal_seeds_give_the_numbers_on_record(name: str) -> None:
    losses, digest = computed(name)
    on_record = record()["presets"][name]
    assert losses == pytest.approx(on_record["losses"], rel=FLIP), "raise NUMBERS, if the change is meant"
    pairs = zip(losses, on_record["losses"], strict=True)
    changed = [ours for ours, theirs in pairs if ours != pytest.approx(theirs, rel=TOLERANCE)]
    assert len(changed) <= 1, "raise NUMBERS, if the change is meant"
    exact = on_record["sha256"].get(kind())
    assert exact in (None, digest), "the last bits changed: raise NUMBERS, if that is meant"


def renew() -> None:
    """Write the record, and keep the other kinds of machines where the numbers are the same."""
    old = record() if RECORD.exists() else {"numbers": None, "presets": {}}
    presets = {}
    for name in PRESETS:
        losses, digest = computed(name)
        kept = old["presets"].get(name, {}).get("sha256", {}) if old["numbers"] == NUMBERS else {}
        if kept.get(kind(), digest) != digest:
            raise SystemExit(
                f"{name} has other numbers than before: raise NUMBERS in simulator/numerics.py first"
            )
        presets[name] = {"losses": losses, "sha256": {**kept, kind(): digest}}
    text = json.dumps({"numbers": NUMBERS, "presets": presets}, indent=1, sort_keys=True)
    RECORD.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    renew()
