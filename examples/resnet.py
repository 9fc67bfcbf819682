"""Residual networks (He et al., CVPR 2016): ResNet-34 for 224x224 images, ResNet-20 for 32x32 images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut around them.

    Args:
        in_channels: of the block's input.
        out_channels: of its output.
        stride: of the first convolution; with a stride or a change of channels the shortcut is a 1x1
            convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return `[batch, out_channels, height / stride, width / stride]`."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """A stem, stages of basic blocks that each halve the resolution but the first, and a classifier.

    Args:
        blocks: basic blocks per stage.
        widths: channels per stage.
        classes: outputs.
        in_channels: colours of the input.
        large_images: begin with a 7x7 convolution of stride 2 and a pooling, instead of a 3x3 convolution.
    """

    def __init__(
        self,
        blocks: tuple[int, ...],
        widths: tuple[int, ...],
        *,
        classes: int,
        in_channels: int = 3,
        large_images: bool,
    ) -> None:
        super().__init__()
        kernel, stride = (7, 2) if large_images else (3, 1)
        self.conv1 = nn.Conv2d(in_channels, widths[0], kernel, stride=stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.pool = nn.MaxPool2d(3, stride=2, padding=1) if large_images else nn.Identity()
        stages = []
        channels = widths[0]
        for index, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            stage = []
            for block in range(count):
                stage.append(BasicBlock(channels, width, stride=2 if block == 0 and index > 0 else 1))
                channels = width
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `[batch, classes]` of images `[batch, in_channels, height, width]`."""
        y = self.pool(functional.relu(self.bn1(self.conv1(x))))
        y = self.stages(y)
        return self.fc(torch.flatten(functional.adaptive_avg_pool2d(y, 1), 1))


def resnet34(classes: int = 1000, in_channels: int = 3) -> ResNet:
    """Return ResNet-34 for images of about 224x224 (ImageNet)."""
    return ResNet(
        (3, 4, 6, 3), (64, 128, 256, 512), classes=classes, in_channels=in_channels, large_images=True
    )


def resnet20(classes: int = 10, in_channels: int = 3) -> ResNet:
    """Return ResNet-20 for images of about 32x32 (CIFAR)."""
    return ResNet((3, 3, 3), (16, 32, 64), classes=classes, in_channels=in_channels, large_images=False)
