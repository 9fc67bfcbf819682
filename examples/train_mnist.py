"""Train the small digit classifier of the demonstration and export it to `examples/mnist_cnn.onnx`.

    python -m examples.train_mnist [OUTPUT]

A LeNet-like network with BatchNorm, trained on the 8,000 training digits of `builtin:mnist10k`. The export
keeps BatchNorm as a node of its own, so that fine-tuning can train it. Run again, it reproduces the committed
file to within training noise (the last bits depend on the machine), and prints the accuracy.
"""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional

from simulator import rng
from simulator.data.loading import load_dataset

SEED = 1
EPOCHS = 12
BATCH_SIZE = 64


class DigitNet(nn.Module):
    """Two convolutions with BatchNorm and two linear layers: images `[n, 1, 28, 28]` to logits `[n, 10]`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5, padding=2)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 5, padding=2)
        self.bn2 = nn.BatchNorm2d(32)
        self.fc1 = nn.Linear(32 * 7 * 7, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        hidden = functional.max_pool2d(functional.relu(self.bn1(self.conv1(images))), 2)
        hidden = functional.max_pool2d(functional.relu(self.bn2(self.conv2(hidden))), 2)
        hidden = functional.relu(self.fc1(torch.flatten(hidden, 1)))
        logits: Tensor = self.fc2(hidden)
        return logits


def train() -> tuple[DigitNet, float]:
    """Train the network and return it with its test accuracy."""
    data = load_dataset("builtin:mnist10k")
    images, labels = data.train.inputs[0], data.train.targets
    with rng.as_default(SEED, rng.Purpose.INITIAL_WEIGHTS):
        model = DigitNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    steps = EPOCHS * -(-len(labels) // BATCH_SIZE)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    for epoch in track(range(EPOCHS), description="training"):
        order = torch.randperm(len(labels), generator=rng.generator(SEED, rng.Purpose.SAMPLE_ORDER, epoch))
        for index in order.split(BATCH_SIZE):
            loss = functional.cross_entropy(model(images[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
    model.eval()
    with torch.inference_mode():
        right = model(data.test.inputs[0]).argmax(dim=1) == data.test.targets
    return model, float(right.double().mean())


def export(model: DigitNet) -> bytes:
    """Return the network as ONNX, with a batch size left open and BatchNorm kept."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The older exporter keeps BatchNorm trainable without onnxscript; torch announces its end.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.zeros(1, 1, 28, 28),),
            buffer,
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )
    return buffer.getvalue()


def main() -> int:
    """Train, export and say how good the network is."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "mnist_cnn.onnx")
    model, accuracy = train()
    target.write_bytes(export(model))
    print(f"{target}: test accuracy {accuracy:.2%} on the 2,000 test digits of builtin:mnist10k")
    return 0


if __name__ == "__main__":
    sys.exit(main())
